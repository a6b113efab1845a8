//! π by throwing darts: how many of a million hit the quarter of a circle, batch after batch, in all processors at once.
//!
//!     cargo run --release --example pi [batches]
//!
//! Results come as they are ready (`imap_unordered`), and the batches are taken from their iterator only as the workers need them: any number of them fits into memory.

use multiproc::Pool;

/// Darts in a batch.
const DARTS: u64 = 1_000_000;

/// How many of a batch's darts hit. The batch's number is its seed, so that each run gives the same.
fn hits(batch: u64) -> u64 {
    let mut random = (batch + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut coordinate = || {
        // xorshift64*
        random ^= random >> 12;
        random ^= random << 25;
        random ^= random >> 27;
        (random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..DARTS).filter(|_| coordinate().powi(2) + coordinate().powi(2) < 1.0).count() as u64
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let batches = std::env::args().nth(1).map_or(Ok(50), |batches| batches.parse())?;
    let pool = Pool::builder().start()?;
    println!("{} workers, {batches} batches of {DARTS} darts", pool.workers());
    let mut total = 0;
    for (done, result) in (1..).zip(pool.imap_unordered(hits, 0..batches)) {
        total += result?;
        if done % (batches / 5).max(1) == 0 {
            println!(
                "{:3} % of the darts: π is about {:.5}",
                100 * done / batches,
                4.0 * total as f64 / (done * DARTS) as f64
            );
        }
    }
    Ok(())
}
