//! Queues: within a process, many items at once, and to another process and back; beside Python's managed queue and a list in Redis.

use multiproc::types::{PriorityQueueProxy, QueueProxy};
use multiproc::{Process, Result};
use redis::{Connection, RedisResult, cmd};

use super::Contest;

/// How many items go in one message, where many do.
const BATCH: usize = 50;
/// Tells Redis's other process to end.
const END: usize = usize::MAX;

fn put(redis: &mut Connection, list: &str, items: &[usize]) -> RedisResult<()> {
    cmd("RPUSH").arg(list).arg(items).exec(redis)
}

fn get(redis: &mut Connection, list: &str) -> RedisResult<usize> {
    let (_, item): (String, usize) = cmd("BLPOP").arg(list).arg(0).query(redis)?;
    Ok(item)
}

fn put_and_get(redis: &mut Connection) -> RedisResult<()> {
    put(redis, "queue", &[1])?;
    get(redis, "queue").map(drop)
}

pub fn queues(contest: &mut Contest) -> Result<()> {
    contest.title("queues, thousand items a second");
    let queue = QueueProxy::<usize>::new(&contest.manager, 0)?;
    contest.compare("put and get, one process", "queue", &put_and_get, || {
        queue.put(1)?;
        Ok(queue.get().map(drop)?)
    })?;
    let ranked = PriorityQueueProxy::<usize>::new(&contest.manager, 0)?;
    contest.compare("by priority (they: without)", "queue", &put_and_get, || {
        ranked.put(7, 1)?;
        Ok(ranked.get().map(drop)?)
    })?;
    let batch: Vec<usize> = (0..BATCH).collect();
    let fill_and_empty = |redis: &mut Connection| {
        put(redis, "queue", &batch)?;
        cmd("LPOP").arg("queue").arg(BATCH).query::<Vec<usize>>(redis).map(drop)
    };
    contest.compare_many(BATCH, "50 a message (Python: 1)", "queue_many", Some(&fill_and_empty), || {
        queue.put_many(&batch)?;
        Ok(queue.get_many(BATCH).map(drop)?)
    })?;
    to_another_process(contest)
}

/// The way of a job and its result.
fn to_another_process(contest: &mut Contest) -> Result<()> {
    let manager = &contest.manager;
    let (there, back) = (QueueProxy::<usize>::new(manager, 0)?, QueueProxy::<usize>::new(manager, 0)?);
    let other = Process::spawn({
        let (there, back) = (there.clone(), back.clone());
        move || there.iter().all(|item| item.is_ok_and(|item| back.put(item).is_ok()))
    })?;
    let url = contest.redis.as_ref().map(|redis| redis.url.clone());
    let redis_other =
        url.map(|url| Process::spawn(move || echo(&url).expect("the redis that was started"))).transpose()?;
    contest.compare(
        "to another process and back",
        "queue_there_and_back",
        &|redis| {
            put(redis, "there", &[1])?;
            get(redis, "back").map(drop)
        },
        || {
            there.put(1)?;
            Ok(back.get().map(drop)?)
        },
    )?;
    there.shutdown(false)?;
    assert!(other.join().expect("the other process"), "it failed before the queue ended");
    if let (Some(redis), Some(other)) = (&mut contest.redis, redis_other) {
        put(&mut redis.connection, "there", &[END]).expect("redis");
        other.join().expect("redis's other process");
    }
    Ok(())
}

/// Redis's other process: what comes goes back.
fn echo(url: &str) -> RedisResult<()> {
    let mut redis = redis::Client::open(url)?.get_connection()?;
    loop {
        match get(&mut redis, "there")? {
            END => return Ok(()),
            item => put(&mut redis, "back", &[item])?,
        }
    }
}
