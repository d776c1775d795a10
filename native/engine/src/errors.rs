//! Failures of the native engine, and the wall that keeps panics inside it.
//!
//! A failure crosses to JavaScript as `CODE: message`; `load.ts` turns that into a `KmsError`. Messages name what is
//! wrong with the input; they never hold key bytes, plaintexts or text that a peer supplied.

use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};
use std::sync::{Mutex, Once, PoisonError};

/// The codes of `common/errors.ts` that this library gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    CiphertextInvalid,
    KeyInvalid,
    RequestInvalid,
    NotFound,
    PreconditionFailed,
    Aborted,
    Internal,
}

impl Code {
    fn name(self) -> &'static str {
        match self {
            Code::CiphertextInvalid => "CIPHERTEXT_INVALID",
            Code::KeyInvalid => "KEY_INVALID",
            Code::RequestInvalid => "REQUEST_INVALID",
            Code::NotFound => "NOT_FOUND",
            Code::PreconditionFailed => "PRECONDITION_FAILED",
            Code::Aborted => "ABORTED",
            Code::Internal => "INTERNAL",
        }
    }
}

/// A failure that a caller can act on.
#[derive(Clone, Debug)]
pub struct EngineError {
    pub code: Code,
    pub message: String,
}

/// What every fallible function here returns.
pub type Result<T> = std::result::Result<T, EngineError>;

impl EngineError {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub fn ciphertext(message: impl Into<String>) -> Self {
        Self::new(Code::CiphertextInvalid, message)
    }

    pub fn key(message: impl Into<String>) -> Self {
        Self::new(Code::KeyInvalid, message)
    }

    pub fn request(message: impl Into<String>) -> Self {
        Self::new(Code::RequestInvalid, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }
}

impl From<EngineError> for napi::Error {
    fn from(error: EngineError) -> Self {
        napi::Error::new(napi::Status::GenericFailure, format!("{}: {}", error.code.name(), error.message))
    }
}

static HOOK: Once = Once::new();

/// Where the last panic happened, on whichever thread. A place in the source; the panic's text could quote a secret.
static LAST_PLACE: Mutex<String> = Mutex::new(String::new());

fn note_place(info: &PanicHookInfo) {
    let place = info.location().map_or_else(String::new, |at| {
        let file = at.file().rsplit_once("/src/").map_or(at.file(), |(package, file)| {
            // `…/tfhe-1.7.0/src/a/b.rs` says which crate and file; the rest is the builder's machine.
            let start = package.rfind('/').map_or(0, |slash| slash + 1);
            &at.file()[start..package.len() + 5 + file.len()]
        });
        format!("{file}:{}", at.line())
    });
    *LAST_PLACE.lock().unwrap_or_else(PoisonError::into_inner) = place;
}

/// Runs `work` and turns a panic into an `INTERNAL` failure that names its place and not its text.
pub fn guarded<T>(what: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    HOOK.call_once(|| set_hook(Box::new(note_place)));
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(_) => {
            let place = LAST_PLACE.lock().unwrap_or_else(PoisonError::into_inner);
            Err(EngineError::internal(format!("{what} stopped on an internal fault at {place}")))
        }
    }
}
