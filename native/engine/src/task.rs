//! Work off the event loop: generic tasks that run a closure on the thread pool behind the panic wall.

use napi::ScopedTask;
use napi::bindgen_prelude::{AsyncTask, Env, Task, ToNapiValue, TypeName, Uint8ArraySlice};

use crate::errors::{EngineError, Result, guarded};

type Work<T> = Box<dyn FnOnce() -> Result<T> + Send>;

/// A closure that runs once on a pool thread and whose result settles a promise.
pub struct Job<T> {
    what: &'static str,
    work: Option<Work<T>>,
}

impl<T: Send + 'static + ToNapiValue + TypeName> Task for Job<T> {
    type Output = T;
    type JsValue = T;

    fn compute(&mut self) -> napi::Result<T> {
        let work = self.work.take().ok_or_else(|| EngineError::internal("a task ran twice"))?;
        Ok(guarded(self.what, work)?)
    }

    fn resolve(&mut self, _env: Env, output: T) -> napi::Result<T> {
        Ok(output)
    }
}

/// Queues `work`; `what` names it in the failure that a panic becomes.
pub fn spawn<T, F>(what: &'static str, work: F) -> AsyncTask<Job<T>>
where
    T: Send + 'static + ToNapiValue + TypeName,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    AsyncTask::new(Job { what, work: Some(Box::new(work)) })
}

/// A closure whose bytes are copied into an ArrayBuffer that the JavaScript engine owns and accounts for.
pub struct BytesJob {
    what: &'static str,
    work: Option<Work<Vec<u8>>>,
}

impl<'task> ScopedTask<'task> for BytesJob {
    type Output = Vec<u8>;
    type JsValue = Uint8ArraySlice<'task>;

    fn compute(&mut self) -> napi::Result<Vec<u8>> {
        let work = self.work.take().ok_or_else(|| EngineError::internal("a task ran twice"))?;
        Ok(guarded(self.what, work)?)
    }

    fn resolve(&mut self, env: &'task Env, output: Vec<u8>) -> napi::Result<Uint8ArraySlice<'task>> {
        Uint8ArraySlice::copy_from(env, &output)
    }
}

/// [`spawn`] for work that gives bytes.
pub fn spawn_bytes(what: &'static str, work: impl FnOnce() -> Result<Vec<u8>> + Send + 'static) -> AsyncTask<BytesJob> {
    AsyncTask::new(BytesJob { what, work: Some(Box::new(work)) })
}
