//! Work off the event loop: one generic task that runs a closure on the thread pool behind the panic wall.

use napi::bindgen_prelude::{AsyncTask, Env, Task, ToNapiValue, TypeName};

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
