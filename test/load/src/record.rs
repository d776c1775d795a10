//! Latencies and failures of the calls that end inside the measured window.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::Outcomes;

#[derive(Clone)]
pub struct Recorder(Rc<RefCell<State>>);

struct State {
    begin: Instant,
    end: Instant,
    max_calls: usize,
    /// End of the last counted call.
    last: Instant,
    micros: Vec<u32>,
    errors: BTreeMap<String, u64>,
    answers: Option<Vec<Option<Vec<u8>>>>,
    /// Processor time of this process when the window began.
    cpu_at_begin: Option<Duration>,
}

impl Recorder {
    pub fn new(begin: Instant, end: Instant, max_calls: usize) -> Self {
        Self(Rc::new(RefCell::new(State {
            begin,
            end,
            max_calls,
            last: begin,
            micros: Vec::new(),
            errors: BTreeMap::new(),
            answers: None,
            cpu_at_begin: None,
        })))
    }

    pub fn wants_more(&self) -> bool {
        let state = self.0.borrow();
        Instant::now() < state.end && state.micros.len() < state.max_calls
    }

    pub fn add(&self, started: Instant, outcome: Outcomes) {
        let now = Instant::now();
        let mut state = self.0.borrow_mut();
        if now < state.begin || now > state.end || state.micros.len() >= state.max_calls {
            return;
        }
        state.last = now;
        if state.cpu_at_begin.is_none() {
            state.cpu_at_begin = Some(cpu_time());
        }
        match outcome {
            Ok((answered, answers)) => {
                state.micros.push(answered.duration_since(started).as_micros() as u32);
                state.answers.get_or_insert(answers);
            }
            Err(name) => *state.errors.entry(name).or_default() += 1,
        }
    }

    /// The answers to the first call counted.
    pub fn answers(&self) -> Option<Vec<Option<Vec<u8>>>> {
        self.0.borrow().answers.clone()
    }

    pub fn json(&self) -> String {
        let state = self.0.borrow();
        let mut micros = state.micros.clone();
        micros.sort_unstable();
        let at = |share: f64| {
            let index = ((micros.len() as f64 * share).ceil() as usize).max(1) - 1;
            micros.get(index).map_or(0.0, |value| f64::from(*value) / 1000.0)
        };
        let seconds = state.last.duration_since(state.begin).as_secs_f64();
        let cpu = cpu_time().saturating_sub(state.cpu_at_begin.unwrap_or_default());
        let mut errors = String::new();
        for (name, count) in &state.errors {
            let comma = if errors.is_empty() { "" } else { "," };
            let _ = write!(errors, "{comma}{name:?}:{count}");
        }
        format!(
            "{{\"calls\":{},\"errors\":{},\"errorsByName\":{{{errors}}},\"seconds\":{seconds:.3},\"perSecond\":{:.1},\
             \"p50Ms\":{:.3},\"p90Ms\":{:.3},\"p99Ms\":{:.3},\"maxMs\":{:.3},\"cpuSeconds\":{:.3}}}",
            micros.len(),
            state.errors.values().sum::<u64>(),
            if seconds > 0.0 { micros.len() as f64 / seconds } else { 0.0 },
            at(0.5),
            at(0.9),
            at(0.99),
            at(1.0),
            cpu.as_secs_f64(),
        )
    }
}

/// User and system time of this process so far.
fn cpu_time() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: getrusage fills the structure it is given; all-zero bytes are a valid rusage if it fails.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let part = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    part(usage.ru_utime) + part(usage.ru_stime)
}
