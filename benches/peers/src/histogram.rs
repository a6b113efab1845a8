//! Times of single calls, in shared memory: every client process counts into one of its own, and their sums are what is reported.

/// Sub-buckets of each power of two: times are told apart to about 3%.
const FINE: usize = 32;
/// Up to 2^40 ns, 18 minutes.
const BUCKETS: usize = 41 * FINE;

/// How many calls took how long.
#[repr(C)]
pub struct Histogram {
    buckets: [u64; BUCKETS],
    calls: u64,
}

fn bucket(nanos: u64) -> usize {
    let power = 63 - nanos.max(1).leading_zeros() as usize;
    let fine = if power >= 5 {
        (nanos >> (power - 5)) as usize & (FINE - 1)
    } else {
        (nanos << (5 - power)) as usize & (FINE - 1)
    };
    (power * FINE + fine).min(BUCKETS - 1)
}

fn middle(bucket: usize) -> f64 {
    let (power, fine) = (bucket / FINE, bucket % FINE);
    (1u64 << power) as f64 * (1.0 + (fine as f64 + 0.5) / FINE as f64)
}

impl Histogram {
    pub fn new() -> Self {
        Self { buckets: [0; BUCKETS], calls: 0 }
    }

    /// Counts a round trip of `calls` calls.
    pub fn record(&mut self, nanos: u64, calls: u64) {
        self.buckets[bucket(nanos)] += 1;
        self.calls += calls;
    }

    pub fn add(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(sum, more)| *sum += more);
        self.calls += other.calls;
    }

    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// The time that this share of the round trips took at most, in microseconds.
    pub fn quantile(&self, share: f64) -> f64 {
        let total: u64 = self.buckets.iter().sum();
        let mut left = (total as f64 * share).ceil() as u64;
        for (place, &count) in self.buckets.iter().enumerate() {
            if count >= left {
                return middle(place) / 1000.0;
            }
            left -= count;
        }
        f64::NAN
    }
}
