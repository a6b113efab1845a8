//! The pool in the server.

use std::fmt;

use super::parcel::Parcel;
use super::result::SharedResult;
use super::results::PoolResults;
use super::tasks::{Known, Named, Tasks};
use crate::error::Error;
use crate::object::methods::Methods;
use crate::object::store::Bare;
use crate::object::{Failure, Invocation, Outcome, Referent, Responder};
use crate::pool::{Lineage, Pool, PoolError};
use crate::process::{self, StartMethod};
use crate::types::element::Element;

/// The referent of a [`PoolProxy`](super::PoolProxy).
pub struct SharedPool {
    pool: Pool,
}

/// What each item of a call is.
#[derive(Clone, Copy)]
enum Items {
    /// The task's only argument.
    Argument,
    /// The tuple of its arguments.
    Arguments,
}

/// A call, ready to be given to the workers.
struct Work {
    task: Known,
    parcels: Vec<Parcel>,
    /// The arguments with proxies in them, which are to live until the task is done.
    kept: Vec<Element>,
}

impl Work {
    fn new(task: Known, arguments: Vec<Element>, items: Items) -> Result<Self, PoolError> {
        let packed = |element: &Element| match items {
            Items::Argument => Parcel::of(&(element,)),
            Items::Arguments => Parcel::of(element),
        };
        let parcels: Result<Vec<_>, _> = arguments.iter().map(packed).collect();
        let parcels = parcels.map_err(Error::unserializable::<Element>)?;
        let kept = arguments.into_iter().filter(Element::has_proxies).collect();
        Ok(Self { task, parcels, kept })
    }
}

/// What a call of a pool answers with when it can't begin.
fn fail(call: &mut Invocation<'_>, error: PoolError) -> Outcome {
    call.answer_result(&Err::<(), _>(error))
}

/// Goes on with a value, or answers with the error.
macro_rules! or_fail {
    ($call:ident, $result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return fail($call, PoolError::from(error)),
        }
    };
}

impl SharedPool {
    fn new(call: &mut Invocation<'_>) -> Result<Self, Failure> {
        type Arguments =
            (Option<usize>, Option<Named>, Element, Option<usize>, Option<u32>, Option<String>, Option<Lineage>);
        let (workers, initializer, arguments, tasks, retries, name, lineage): Arguments = call.arguments()?;
        let mut builder = Pool::builder().retries(retries.unwrap_or(0)).lineage(lineage.unwrap_or_default());
        builder = match process::has_fork_server() {
            true => builder.start_method(StartMethod::ForkServer),
            false => builder,
        };
        if let Some(workers) = workers {
            builder = builder.workers(workers);
        }
        if let Some(tasks) = tasks {
            builder = builder.max_tasks_per_child(tasks);
        }
        if let Some(name) = name {
            builder = builder.name(name);
        }
        let known = call.attached::<Tasks>().filter(|tasks| !tasks.is_empty()).ok_or_else(|| {
            let what = "the server has no tasks for a pool to run: register some with `Builder::task` before it starts";
            PoolError::System(Error::State { what: what.to_owned() })
        });
        let started = known.and_then(|known| {
            if let Some(initializer) = initializer {
                let parcel = Parcel::of(&arguments).map_err(Error::unserializable::<Element>)?;
                builder = (known.find(&initializer)?.initialize)(builder, parcel);
            }
            builder.start()
        });
        Ok(Self { pool: call.constructed(started)?.without_waiting() })
    }

    fn known(call: &Invocation<'_>, named: &Named) -> Result<Known, PoolError> {
        match call.attached::<Tasks>() {
            Some(tasks) => tasks.find(named),
            None => Tasks::default().find(named),
        }
    }

    /// Gives one task.
    fn one(&self, call: &mut Invocation<'_>) -> Result<Result<SharedResult, PoolError>, Failure> {
        let (named, arguments) = call.arguments::<(Named, Element)>()?;
        Ok(Self::known(call, &named).and_then(|task| {
            let errors = task.errors(&named);
            let arguments = task.arguments(&named, arguments)?;
            let Work { task, parcels, kept } = Work::new(task, vec![arguments], Items::Arguments)?;
            Ok(SharedResult::new((task.map)(&self.pool, parcels, 1)?, true, kept, errors))
        }))
    }

    /// Gives many.
    fn many(&self, call: &mut Invocation<'_>, items: Items) -> Result<Result<SharedResult, PoolError>, Failure> {
        let (named, arguments, chunk) = call.arguments::<(Named, Vec<Element>, Option<usize>)>()?;
        // As Python: such that each worker gets about four.
        let chunk = chunk.unwrap_or_else(|| arguments.len().div_ceil(self.pool.workers() * 4)).max(1);
        Ok(Self::known(call, &named).and_then(|task| {
            let errors = task.errors(&named);
            let Work { task, parcels, kept } = Work::new(task, arguments, items)?;
            Ok(SharedResult::new((task.map)(&self.pool, parcels, chunk)?, false, kept, errors))
        }))
    }

    /// Answers when the results are there. Of a caller who has gone by then, what no worker has begun is left undone.
    fn wait(call: &mut Invocation<'_>, result: Result<SharedResult, PoolError>) -> Outcome {
        let result = or_fail!(call, result);
        let cancel = result.canceller();
        result.get(call, move || cancel.cancel())
    }

    fn each(&self, call: &mut Invocation<'_>, items: Items, ordered: bool) -> Outcome {
        let (named, arguments, chunk) = call.arguments::<(Named, Vec<Element>, Option<usize>)>()?;
        let task = or_fail!(call, Self::known(call, &named));
        let errors = task.errors(&named);
        let Work { task, parcels, kept } = or_fail!(call, Work::new(task, arguments, items));
        let (results, arrived) = PoolResults::new(ordered, parcels.len(), kept, errors);
        let cancel = or_fail!(call, (task.each)(&self.pool, parcels, chunk.unwrap_or(1), arrived));
        call.answer_referent(results.cancelled_by(cancel))
    }

    /// Answers when all workers have ended.
    fn join(&self, call: &mut Invocation<'_>) -> Outcome {
        let () = call.arguments()?;
        let responder: Responder<(), PoolError> = call.responder();
        // One of the two is used: the pool calls back, or says why it will not.
        let responder = std::sync::Arc::new(crate::sys::sync::Mutex::new(Some(responder)));
        let own = std::sync::Arc::clone(&responder);
        let take = move || own.lock().take();
        let waits = self.pool.when_over(move || {
            if let Some(responder) = take() {
                responder.respond(&());
            }
        });
        if let Err(error) = waits
            && let Some(responder) = responder.lock().take()
        {
            responder.fail(&error);
        }
        Ok(call.answered_later())
    }
}

impl fmt::Display for SharedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Pool of {} workers>", self.pool.workers())
    }
}

impl fmt::Debug for SharedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pool.fmt(f)
    }
}

impl Referent for SharedPool {
    type Proxy = super::PoolProxy;
    type Store = Bare<Self>;
    const TYPEID: &'static str = "Pool";

    fn methods(table: &mut Methods<Self>) {
        let parameters = &["workers", "initializer", "initargs", "max_tasks_per_child", "retries", "name", "lineage"];
        table.dynamic_constructor("new", parameters, Self::new);
        table.dynamic("apply", &["task", "arguments"], |this, call| {
            let result = this.one(call)?;
            Self::wait(call, result)
        });
        table.dynamic("apply_async", &["task", "arguments"], |this, call| {
            let result = this.one(call)?;
            call.answer_referent_result(result)
        });
        let items = &["task", "items", "chunk_size"];
        table.dynamic("map", items, |this, call| {
            let result = this.many(call, Items::Argument)?;
            Self::wait(call, result)
        });
        table.dynamic("map_async", items, |this, call| {
            let result = this.many(call, Items::Argument)?;
            call.answer_referent_result(result)
        });
        table.dynamic("starmap", items, |this, call| {
            let result = this.many(call, Items::Arguments)?;
            Self::wait(call, result)
        });
        table.dynamic("starmap_async", items, |this, call| {
            let result = this.many(call, Items::Arguments)?;
            call.answer_referent_result(result)
        });
        table.dynamic("imap", items, |this, call| this.each(call, Items::Argument, true));
        table.dynamic("imap_unordered", items, |this, call| this.each(call, Items::Argument, false));
        table.dynamic("starimap", items, |this, call| this.each(call, Items::Arguments, true));
        table.dynamic("starimap_unordered", items, |this, call| this.each(call, Items::Arguments, false));
        table.dynamic("close", &[], |this, call| {
            let () = call.arguments()?;
            this.pool.close();
            call.answer(&())
        });
        table.dynamic("terminate", &[], |this, call| {
            let () = call.arguments()?;
            this.pool.terminate();
            call.answer(&())
        });
        table.dynamic("join", &[], Self::join);
        table.dynamic("workers", &[], |this, call| {
            let () = call.arguments()?;
            call.answer(&this.pool.workers())
        });
        table.dynamic("worker_ids", &[], |this, call| {
            let () = call.arguments()?;
            call.answer(&this.pool.worker_ids())
        });
        table.display();
    }
}
