//! A type as a user would write it, for tests that are about something else.

#[derive(Debug, Default)]
pub struct Counter {
    count: u64,
}

#[multiproc::referent]
impl Counter {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn get(&self) -> u64 {
        self.count
    }

    pub fn add(&mut self, n: u64) -> u64 {
        self.count += n;
        self.count
    }
}
