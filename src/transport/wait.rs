//! How to wait for a process that will answer soon, or not at all.
//!
//! Being woken costs 40 µs where processors are virtual, a hundred times as much as most calls. So nobody sleeps before he has looked for about as long. In which way
//! he looks depends on where the other side runs: polling beside it is fastest; polling on *its* processor keeps it from answering, and makes each call take as
//! long as is polled.
//!
//! | state | what is done | until |
//! | --- | --- | --- |
//! | look | the caller of [`Wait`] looks | something is there |
//! | pause | `pause`, once; the clock is looked at only after the first [`Pace::glances`] | [`Pace::pause`] is over; never on the other side's processor |
//! | yield | `sched_yield` | [`Pace::linger`] is over, or as many were done as [`Pace::crowded_yields`] where there are more processes than processors; never beside strangers |
//! | park | the caller sleeps | it is woken |
//!
//! Where there are more processes than processors, clients take turns: the one whose turn it is calls and pauses as if it were alone with the server, and only the
//! end of its [turn](Pace::turn) hands its processor to the next. To yield at each wait would cost a change of processes for each call, several times its price.
//!
//! Two who wait for each other on *one* processor while others are to be had pay two changes of processes for each call. The system does not see that: each of them is idle half of the time, and
//! neither waits for a processor. So after [`Pace::together`] such waits in a row one of them leaves: once, and free to be put back.
//!
//! Beside *strangers* who want the processors all the time, a yield is the worst that can be done: the system takes it for the rest of a time slice given up, and gives a whole one, some milliseconds,
//! to each of them. A sleeper, in contrast, keeps its claim, and takes the processor from them as soon as it is woken. So after a yield that took longer than [`Pace::slow_yield`] (among clients that take
//! turns: after [some](Pace::clients_per_sign) that took longer than that and a round of turns) nothing is yielded for a while, which doubles from [`Pace::rest`] to [`Pace::longest_rest`]:
//! who waits apart from the other side pauses until [`Pace::linger`] is over and then parks, who waits on the other's processor parks at once, and who has had its turn sleeps for the others' turns.
//! Both sides then run at full speed while both have a processor, and while one has none the other one sleeps, and saves up its claim for when it is back.

use std::time::{Duration, Instant};

use super::Hints;
use crate::sys::cpu;

/// How much processor time waiting may cost, to answer or to be answered sooner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitPolicy {
    /// Looks for 2 µs, yields the processor to whoever wants it for 50 µs, then sleeps. Costs nothing when nobody calls.
    #[default]
    Balanced,
    /// Looks for 20 µs and yields for 1 ms before it sleeps: calls that come less than a millisecond apart find the other side awake.
    LowLatency,
    /// Sleeps at once: each call costs two wake-ups, and no processor time is spent on waiting.
    PowerSave,
}

/// The numbers behind a [`WaitPolicy`].
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How many looks to begin with, with nothing but a `pause` between them: most answers come within them, and a look at the clock costs as much as four.
    pub glances: u32,
    /// How long to poll before the first yield.
    pub pause: Duration,
    /// How long to look in all before sleeping: about what being woken costs.
    pub linger: Duration,
    /// How many yields to do before sleeping where there are more active processes than processors.
    pub crowded_yields: u32,
    /// A yield that takes longer has given the processor to a stranger.
    pub slow_yield: Duration,
    /// Among clients that take turns each of them may be held up by one that has just begun: so strangers are believed in only after one more such yield for so many clients, each within
    /// [`rest`](Self::rest) of the one before.
    pub clients_per_sign: u32,
    /// For how long nothing is yielded after the first such.
    pub rest: Duration,
    /// And at most.
    pub longest_rest: Duration,
    /// After how many waits in a row on the other side's processor to leave it; 0 for never. The server has twice the patience: one of both is enough.
    pub together: u32,
    /// The same for a client where there are more active processes than processors, and the server stays where it is: it is best off alone.
    pub crowded_together: u32,
    /// How long to stay then; and the longest time between two such waits: whose calls are further apart is best off where the other side is.
    pub stay: Duration,
    /// For how long a client may call in a row where there are more active processes than processors, before it yields: a millisecond divided by the number of
    /// clients, within these limits. Less would cost calls, more would let the others wait.
    pub turn: [Duration; 2],
}

impl WaitPolicy {
    /// Its numbers.
    pub fn pace(self) -> Pace {
        let micros = Duration::from_micros;
        let balanced = Pace {
            glances: 32,
            pause: micros(2),
            linger: micros(50),
            crowded_yields: 64,
            slow_yield: micros(2_000),
            clients_per_sign: 16,
            rest: micros(20_000),
            longest_rest: micros(1_000_000),
            together: 16,
            crowded_together: 3,
            stay: micros(2_000),
            turn: [micros(20), micros(100)],
        };
        match self {
            Self::Balanced => balanced,
            Self::LowLatency => {
                Pace { glances: 256, pause: micros(20), linger: micros(1_000), crowded_yields: 1024, ..balanced }
            }
            Self::PowerSave => Pace {
                glances: 0,
                together: 0,
                crowded_together: 0,
                pause: Duration::ZERO,
                linger: Duration::ZERO,
                ..balanced
            },
        }
    }
}

/// One side's waiting: kept between waits for what it has learnt.
#[derive(Debug, Clone)]
pub struct Wait {
    pace: Pace,
    /// How many looks this wait has had, as far as that matters.
    glances: u32,
    /// When this wait began, at the clock; `None` while nobody waits.
    since: Option<Instant>,
    /// How many yields this wait has had.
    yields: u32,
    /// Until when no more yields are done, and how long that was made.
    rests: Option<(Instant, Duration)>,
    /// How many yields were slow, each a short while after the one before, and when the last one was.
    slow: Option<(u32, Instant)>,
    /// How many waits in a row began on the other side's processor, when the last one did, and when this side last left it.
    together: u32,
    met: Option<Instant>,
    left: Option<Instant>,
    /// When this client last gave way to the others.
    gave_way: Option<Instant>,
}

impl Wait {
    /// Nobody waits yet.
    pub fn new(policy: WaitPolicy) -> Self {
        Self {
            pace: policy.pace(),
            glances: 0,
            since: None,
            yields: 0,
            rests: None,
            slow: None,
            together: 0,
            met: None,
            left: None,
            gave_way: None,
        }
    }

    /// As [`new`](Self::new), for the server.
    pub fn of_server(policy: WaitPolicy) -> Self {
        let mut wait = Self::new(policy);
        wait.pace.together *= 2;
        wait.pace.crowded_together = 0;
        wait
    }

    /// Something has come: the next wait is another.
    #[inline]
    pub fn over(&mut self) {
        self.glances = 0;
        self.since = None;
        self.yields = 0;
    }

    /// Nothing was there at the last look: waits for a moment. False when it is time to sleep.
    ///
    /// `peer` is what is known of the other side, in shared memory.
    #[inline]
    pub fn goes_on(&mut self, peer: Option<Hints>) -> bool {
        self.glances(peer) || self.goes_on_at(peer, Instant::now())
    }

    /// The beginning of a wait: true where it is worth another look, without a look at the clock.
    #[inline]
    pub fn glances(&mut self, peer: Option<Hints>) -> bool {
        let glances = self.glances < self.pace.glances && peer.is_some_and(|peer| peer.cpu != cpu::current());
        if glances {
            self.glances += 1;
            self.together = 0;
            std::hint::spin_loop();
        }
        glances
    }

    /// The rest of it, at this time.
    pub fn goes_on_at(&mut self, peer: Option<Hints>, now: Instant) -> bool {
        if self.pace.linger.is_zero() {
            return false;
        }
        if self.since.is_none()
            && let Some(peer) = peer
            && peer.cpu == cpu::current()
        {
            self.is_together(peer, now);
        }
        let waited = now - *self.since.get_or_insert(now);
        let crowd = peer.map(|peer| peer.active).filter(|&active| is_crowd(active));
        let apart = peer.is_some_and(|peer| peer.cpu != cpu::current());
        if self.rests(now) {
            if apart && waited < self.pace.linger {
                (0..4).for_each(|_| std::hint::spin_loop());
                return true;
            }
            return false;
        }
        if waited >= self.pace.linger && crowd.is_none() || crowd.is_some() && self.yields >= self.pace.crowded_yields {
            return false;
        }
        if apart && waited < self.pace.pause {
            (0..4).for_each(|_| std::hint::spin_loop());
        } else {
            self.yields(crowd, now);
        }
        true
    }

    /// Gives the processor to whoever wants it; returns when it is back.
    fn yields(&mut self, crowd: Option<u32>, now: Instant) -> Instant {
        self.yields += 1;
        std::thread::yield_now();
        // What the other side did meanwhile is no reason not to look: among strangers it has always done something.
        let after = Instant::now();
        self.learns(crowd, after.saturating_duration_since(now), after);
        after
    }

    /// Learns from how long a yield took who has had the processor.
    fn learns(&mut self, crowd: Option<u32>, took: Duration, after: Instant) {
        // Among those who take turns a yield takes a round of them.
        let round = crowd.map_or(Duration::ZERO, |active| self.round(active));
        if took <= self.pace.slow_yield + round {
            return;
        }
        let (count, last) = self.slow.unwrap_or((0, after));
        let count = if after.saturating_duration_since(last) > self.pace.rest { 1 } else { count + 1 };
        self.slow = Some((count, after));
        // The stranger's time is not this wait's.
        self.since = Some(after);
        if count >= self.pace.signs(crowd) || self.rests.is_some() {
            let last = self.rests.map_or(Duration::ZERO, |(_, rest)| rest);
            let rest = (last * 2).clamp(self.pace.rest, self.pace.longest_rest);
            self.rests = Some((after + rest, rest));
        }
    }

    /// Whether nothing is yielded at present, since strangers would get it.
    fn rests(&mut self, now: Instant) -> bool {
        match self.rests {
            Some((until, _)) if now < until => true,
            // A quiet time as long as the rest was: the strangers are gone.
            Some((until, rest)) if now - until > rest => {
                self.rests = None;
                false
            }
            _ => false,
        }
    }

    /// A wait begins on the other side's processor.
    fn is_together(&mut self, peer: Hints, now: Instant) {
        if self.met.is_none_or(|met| now - met > self.pace.stay) {
            self.together = 0;
        }
        (self.together, self.met) = (self.together + 1, Some(now));
        let patience = if is_crowd(peer.active) { self.pace.crowded_together } else { self.pace.together };
        let stays = self.left.is_some_and(|left| now - left < self.pace.stay);
        if patience > 0 && self.together >= patience && !stays {
            self.together = 0;
            self.left = Some(now);
            cpu::leave();
        }
    }

    /// Before a call: where there are more active processes than processors, gives way when this one has had its turn.
    #[inline]
    pub fn give_way(&mut self, peer: Option<Hints>) {
        if let Some(active) = peer.map(|peer| peer.active).filter(|&active| is_crowd(active)) {
            self.give_way_at(active, Instant::now());
        }
    }

    /// How long it takes until so many clients have had a turn each.
    pub fn round(&self, active: u32) -> Duration {
        self.pace.turn(active) * active
    }

    fn give_way_at(&mut self, active: u32, now: Instant) {
        let since = *self.gave_way.get_or_insert(now);
        if now.saturating_duration_since(since) >= self.pace.turn(active) {
            let after = if self.rests(now) {
                std::thread::sleep(self.pace.turn(active) * active.saturating_sub(1));
                Instant::now()
            } else {
                self.yields(Some(active), now)
            };
            self.gave_way = Some(after);
        }
    }
}

impl Pace {
    /// After how many slow yields strangers are believed in.
    fn signs(&self, crowd: Option<u32>) -> u32 {
        1 + crowd.unwrap_or(0) / self.clients_per_sign
    }

    /// How long one of so many clients may call in a row.
    fn turn(&self, active: u32) -> Duration {
        let [least, most] = self.turn;
        (Duration::from_millis(1) / active.max(1)).clamp(least, most)
    }
}

/// Whether so many clients and their server are more than there are processors.
fn is_crowd(active: u32) -> bool {
    active as usize + 1 > cpu::count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elsewhere(active: u32) -> Option<Hints> {
        Some(Hints { cpu: cpu::current().wrapping_add(1), active })
    }

    #[test]
    fn every_wait_ends_in_sleep_and_power_is_saved_at_once() {
        let mut wait = Wait::new(WaitPolicy::PowerSave);
        assert!(!wait.goes_on(elsewhere(1)));
        assert_eq!(wait.yields, 0);
        for policy in [WaitPolicy::Balanced, WaitPolicy::LowLatency] {
            for peer in [None, elsewhere(0), elsewhere(1_000), Some(Hints { cpu: cpu::current(), active: 1 })] {
                let mut wait = Wait::new(policy);
                for _ in 0..3 {
                    let mut looks = 0_u64;
                    while wait.goes_on(peer) {
                        looks += 1;
                    }
                    // Who has met strangers (on a busy machine the others' tests) sleeps at once.
                    assert!(looks > 0 || wait.rests.is_some(), "{policy:?} sleeps without looking");
                    wait.over();
                }
            }
        }
    }

    #[test]
    fn the_other_sides_processor_is_yielded_and_not_polled_on() {
        // Whatever processor this thread is moved to meanwhile.
        let everywhere = |wait: &mut Wait| wait.goes_on(Some(Hints { cpu: cpu::current(), active: 1 }));
        let mut wait = Wait::new(WaitPolicy::Balanced);
        let mut steps = 0;
        while everywhere(&mut wait) {
            steps += 1;
        }
        assert!(wait.yields > 0 && wait.yields <= steps);
        if cpu::count() == 1 {
            assert_eq!(wait.yields, steps);
        }
    }

    #[test]
    fn a_slow_yield_is_followed_by_rests_that_double_up_to_a_limit() {
        let mut wait = Wait::new(WaitPolicy::Balanced);
        let pace = wait.pace;
        let (mut now, mut last) = (Instant::now(), Duration::ZERO);
        assert!(!wait.rests(now));
        for _ in 0..10 {
            wait.learns(None, pace.slow_yield * 2, now);
            let rest = wait.rests.expect("a rest").1;
            assert_eq!(rest, (last * 2).clamp(pace.rest, pace.longest_rest));
            assert!(wait.rests(now + rest / 2));
            now += rest + rest / 2;
            assert!(!wait.rests(now), "it is tried again");
            last = rest;
        }
        assert_eq!(last, pace.longest_rest);
        assert!(!wait.rests(now + last * 2) && wait.rests.is_none(), "a quiet time forgets the strangers");
        wait.learns(None, pace.slow_yield / 2, now);
        assert!(!wait.rests(now));
    }

    #[test]
    fn a_round_of_turns_is_no_sign_of_strangers() {
        let mut wait = Wait::new(WaitPolicy::Balanced);
        let now = Instant::now();
        for active in [8, 32, 128] {
            let round = wait.pace.turn(active) * active;
            wait.learns(Some(active), wait.pace.slow_yield + round, now);
            assert!(!wait.rests(now), "{active}");
        }
        let slow = Duration::from_millis(4);
        for _ in 1..wait.pace.signs(Some(32)) {
            wait.learns(Some(32), slow, now);
        }
        assert!(!wait.rests(now), "one of the others may have been held up");
        wait.learns(Some(32), slow, now);
        assert!(wait.rests(now));
        let later = now + wait.pace.rest;
        wait.learns(Some(32), slow, later);
        assert!(wait.rests(later), "who knows them believes the first sign");
    }

    #[test]
    fn held_up_now_and_then_is_no_sign_of_strangers() {
        let mut wait = Wait::new(WaitPolicy::Balanced);
        let mut now = Instant::now();
        for _ in 0..10 {
            wait.learns(Some(32), Duration::from_millis(4), now);
            assert!(!wait.rests(now));
            now += wait.pace.rest * 2;
        }
        for sign in 1..=wait.pace.signs(Some(32)) {
            wait.learns(Some(32), Duration::from_millis(4), now);
            // Quick ones between them make no difference: one of the processors may be free at times.
            wait.learns(Some(32), Duration::from_micros(5), now);
            assert_eq!(wait.rests(now), sign == wait.pace.signs(Some(32)));
        }
    }

    /// A client that called every 10 ms left the server's processor after sixteen calls, and was waited for on another one that had to be woken.
    #[test]
    fn who_calls_now_and_then_stays_where_the_other_side_is() {
        let mut wait = Wait::new(WaitPolicy::Balanced);
        let (peer, mut now) = (Hints { cpu: cpu::current(), active: 1 }, Instant::now());
        for _ in 0..100 {
            wait.is_together(peer, now);
            now += wait.pace.stay * 2;
        }
        assert!(wait.left.is_none());
        for _ in 0..wait.pace.together {
            wait.is_together(peer, now);
        }
        assert!(wait.left.is_some(), "who waits there again and again leaves");
    }

    /// Two busy strangers cut a million calls a second to a few hundred: each wait yielded, and each yield gave a whole time slice to each of them; a yield whose end found the
    /// answer was not looked at, and among more clients than processors none was.
    #[test]
    fn beside_strangers_nothing_is_yielded() {
        let mut wait = Wait::new(WaitPolicy::Balanced);
        wait.learns(None, Duration::from_millis(4), Instant::now());
        wait.rests = wait.rests.map(|(until, rest)| (until + Duration::from_secs(60), rest));
        let here = || Some(Hints { cpu: cpu::current(), active: 1 });
        for _ in 0..3 {
            wait.over();
            // Wherever this thread is moved to meanwhile, it parks in the end.
            while wait.goes_on(elsewhere(1)) {}
            wait.over();
            while wait.goes_on(here()) {}
            wait.over();
            assert!(!wait.goes_on(None), "nothing is known of the other side: it is not waited for");
            wait.give_way_at(1_000, Instant::now());
            wait.give_way_at(1_000, Instant::now() + Duration::from_millis(1));
            assert_eq!(wait.yields, 0);
        }
    }

    #[test]
    fn who_is_alone_gives_way_to_nobody() {
        let mut wait = Wait::new(WaitPolicy::Balanced);
        let now = Instant::now();
        wait.give_way(elsewhere(0));
        wait.give_way(None);
        assert!(wait.gave_way.is_none());
        wait.give_way_at(1_000, now);
        wait.give_way_at(1_000, now + Duration::from_millis(1));
        assert!(wait.gave_way > Some(now));
    }
}
