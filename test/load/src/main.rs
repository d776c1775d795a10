//! Load generator: unary gRPC calls, or calls on the engine's socket, with one pre-built body and fresh request ids.
//!
//! Written in Rust and single-threaded, so that it takes as little as possible from the machine that it measures.
//! Prints one JSON object. Run with `--help` for the options.

mod body;
mod engine;
mod grpc;
mod options;
mod quorum;
mod record;

use std::rc::Rc;
use std::time::{Duration, Instant};

use body::Body;
use options::{Options, Target};
use record::Recorder;

/// What one call came to: the answer's bytes, or the name of the failure.
type Outcome = Result<Vec<u8>, String>;

/// What calling all addresses came to: when enough had answered and what, by address; or the name of the failure.
type Outcomes = Result<(Instant, Vec<Option<Vec<u8>>>), String>;

fn main() {
    let options = match Options::from_args(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            std::process::exit(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    match tokio::task::LocalSet::new().block_on(&runtime, run(&options)) {
        Ok(recorder) => println!("{}", recorder.json()),
        Err(error) => {
            eprintln!("arca-load: {error}");
            std::process::exit(1);
        }
    }
}

async fn run(options: &Options) -> std::io::Result<Recorder> {
    let body = Rc::new(Body::read(&options.body, options.id_at)?);
    let begin = Instant::now() + Duration::from_secs_f64(options.warm_up_seconds);
    let recorder = Recorder::new(begin, begin + Duration::from_secs_f64(options.seconds), options.max_calls);
    let mut workers = Vec::new();
    for index in 0..options.connections.min(options.in_flight) {
        let share = (options.in_flight + options.connections - 1 - index) / options.connections;
        match &options.target {
            Target::Grpc { addresses, path, answers } => {
                let client = quorum::connect(addresses, path, *answers).await?;
                for _ in 0..share {
                    let (client, body, recorder) = (client.clone(), body.clone(), recorder.clone());
                    workers.push(tokio::task::spawn_local(async move {
                        work(&recorder, async || client.call(&body).await).await;
                    }));
                }
            }
            Target::Engine { socket, method, hello } => {
                let client = engine::connect(socket, *method, hello).await?;
                for _ in 0..share {
                    let (client, body, recorder) = (client.clone(), body.clone(), recorder.clone());
                    workers.push(tokio::task::spawn_local(async move {
                        let call = async || client.call(&body).await.map(|answer| (Instant::now(), vec![Some(answer)]));
                        work(&recorder, call).await;
                    }));
                }
            }
        }
    }
    for worker in workers {
        worker.await?;
    }
    if let (Some(path), Some(answers)) = (&options.save_answer, recorder.answers()) {
        save(path, &answers)?;
    }
    Ok(recorder)
}

/// Calls again and again until the recorder has enough. A failed call waits a moment, so that a dead server is not spun on.
async fn work(recorder: &Recorder, call: impl AsyncFn() -> Outcomes) {
    while recorder.wants_more() {
        let started = Instant::now();
        let outcome = call().await;
        let failed = outcome.is_err();
        recorder.add(started, outcome);
        if failed {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Writes one answer to the file itself, several ones to files beside it, by the number of their address.
fn save(path: &std::path::Path, answers: &[Option<Vec<u8>>]) -> std::io::Result<()> {
    if let [Some(answer)] = answers {
        return std::fs::write(path, answer);
    }
    for (answer, number) in answers.iter().zip(1..) {
        if let Some(answer) = answer {
            std::fs::write(format!("{}.{number}", path.display()), answer)?;
        }
    }
    Ok(())
}
