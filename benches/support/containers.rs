//! The containers' main operations, beside Python's managers and Redis; and large elements beside a copy of memory.

use std::hint::black_box;
use std::time::Instant;

use multiproc::types::{ArrayProxy, CounterProxy, DictProxy, ListProxy, SetProxy, ValueProxy};
use multiproc::{Datum, Result};
use redis::cmd;
use serde::{Deserialize, Serialize};

use super::{Contest, median};

/// Dict, list, set, value, array and counter.
pub fn containers(contest: &mut Contest) -> Result<()> {
    contest.title("containers");
    let manager = &contest.manager;
    let dict = DictProxy::<String, u64>::from_iter(manager, (0..1000_u64).map(|n| (n.to_string(), n)))?;
    let list = ListProxy::<u64>::from_iter(manager, 0..1000_u64)?;
    let set = SetProxy::<String>::from_iter(manager, (0..1000).map(|n| n.to_string()))?;
    let value = ValueProxy::<u64>::new(manager, 0)?;
    let array = ArrayProxy::<i64>::from_iter(manager, 0..1000)?;
    let counter = CounterProxy::new(manager, 0)?;
    if let Some(redis) = &mut contest.redis {
        for n in 0..1000 {
            cmd("HSET").arg("dict").arg(n).arg(n).exec(&mut redis.connection).expect("a hash");
            cmd("RPUSH").arg("list").arg(n).exec(&mut redis.connection).expect("a list");
            cmd("SADD").arg("set").arg(n).exec(&mut redis.connection).expect("a set");
        }
    }
    contest.compare(
        "dict: get",
        "dict_get",
        &|redis| cmd("HGET").arg("dict").arg("500").query::<u64>(redis).map(drop),
        || dict.get("500").map(drop),
    )?;
    contest.compare(
        "dict: insert",
        "dict_set",
        &|redis| cmd("HSET").arg("dict").arg("500").arg(7).exec(redis),
        || dict.insert("500", 7).map(drop),
    )?;
    // Python has no update: what it does instead may lose one.
    contest.compare(
        "dict: update",
        "dict_add",
        &|redis| cmd("HINCRBY").arg("dict").arg("500").arg(1).exec(redis),
        || dict.update("500", |n| n.map(|n| n + 1)).map(drop),
    )?;
    contest.compare(
        "list: get",
        "list_get",
        &|redis| cmd("LINDEX").arg("list").arg(500).query::<u64>(redis).map(drop),
        || list.get(500).map(drop),
    )?;
    contest.compare(
        "list: push, pop",
        "list_push_pop",
        &|redis| {
            cmd("RPUSH").arg("list").arg(1).exec(redis)?;
            cmd("RPOP").arg("list").exec(redis)
        },
        || {
            list.push(1)?;
            list.pop().map(drop)
        },
    )?;
    contest.compare(
        "list: all 1,000",
        "list_all",
        &|redis| cmd("LRANGE").arg("list").arg(0).arg(-1).query::<Vec<u64>>(redis).map(drop),
        || list.to_vec().map(drop),
    )?;
    contest.compare("set: insert", "dict_set", &|redis| cmd("SADD").arg("set").arg("500").exec(redis), || {
        set.insert("500").map(drop)
    })?;
    contest.compare(
        "set: contains",
        "dict_contains",
        &|redis| cmd("SISMEMBER").arg("set").arg("500").exec(redis),
        || set.contains("500").map(drop),
    )?;
    contest.compare("Value: get", "value_get", &|redis| cmd("INCRBY").arg("value").arg(0).exec(redis), || {
        value.get().map(drop)
    })?;
    contest.compare("Value: fetch_add", "value_add", &|redis| cmd("INCR").arg("value").exec(redis), || {
        value.fetch_add(1).map(drop)
    })?;
    contest.compare("Value: lock, unlock", "value_add", &|redis| cmd("INCR").arg("value").exec(redis), || {
        value.lock()?.unlock()
    })?;
    contest.compare("Array: set", "array_set", &|redis| cmd("LSET").arg("list").arg(500).arg(1).exec(redis), || {
        Ok(array.set(500, 1).map(drop)?)
    })?;
    contest.compare("Counter: add", "value_add", &|redis| cmd("INCR").arg("value").exec(redis), || {
        counter.add(1).map(drop)
    })
}

/// The same numbers, but for the library a type of its own: they go through serde one by one, as all did once.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct OneByOne<T>(Vec<T>);

/// GiB/s in and out of a dict, beside a copy of memory.
fn payload_of<T: Datum + Clone + Default>(contest: &Contest, what: &str, bytes: usize) -> Result<()> {
    let numbers = vec![T::default(); bytes / size_of::<T>()];
    let plain = OneByOne(numbers.clone());
    let (blocks, ones) =
        (DictProxy::<u8, Vec<T>>::new(&contest.manager)?, DictProxy::<u8, OneByOne<T>>::new(&contest.manager)?);
    ones.insert(1, &plain)?;
    blocks.insert(1, &numbers)?;
    let mut rates = [const { Vec::new() }; 5];
    for _ in 0..contest.effort.rounds {
        let mut timed = |place: usize, job: &dyn Fn() -> Result<()>| -> Result<()> {
            let begin = Instant::now();
            job()?;
            rates[place].push(bytes as f64 / begin.elapsed().as_secs_f64() / f64::from(1 << 30));
            Ok(())
        };
        timed(0, &|| {
            black_box(black_box(&numbers).clone());
            Ok(())
        })?;
        timed(1, &|| blocks.extend([(1, &numbers)]))?;
        timed(2, &|| blocks.get(1).map(|numbers| drop(black_box(numbers))))?;
        timed(3, &|| ones.extend([(1, &plain)]))?;
        timed(4, &|| ones.get(1).map(|numbers| drop(black_box(numbers))))?;
    }
    let [copy, put, get, put_ones, get_ones] = rates.map(|rates| median(rates).unwrap_or_default());
    println!(
        "  {what:18} {copy:8.2} {put:8.2} / {:.2} {get:8.2} / {:.2}   {put_ones:8.2} {get_ones:8.2}",
        copy / put,
        copy / get
    );
    Ok(())
}

/// Large elements: in one block, and number by number.
pub fn payload(contest: &mut Contest) -> Result<()> {
    println!(
        "{:20} {:>8} {:>15} {:>15}   {:>8} {:>8} one by one",
        "elements, GiB/s", "memcpy", "put, ratio", "get, ratio", "put", "get"
    );
    let bytes = if contest.effort.rounds > 1 { 16 << 20 } else { 64 << 10 };
    payload_of::<u8>(contest, "Vec<u8>", bytes)?;
    payload_of::<i32>(contest, "Vec<i32>", bytes)?;
    payload_of::<f64>(contest, "Vec<f64>", bytes)
}
