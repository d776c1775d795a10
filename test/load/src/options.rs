//! Command line.

use std::path::PathBuf;

const HELP: &str =
    "Usage: arca-load (--grpc HOST:PORT[,HOST:PORT…] --path /package.Service/Method | --engine SOCKET --method N --hello HEX)
                       each call goes to all addresses at once, with one request id
  --answers N          a call has succeeded, and its time is taken, once so many addresses have answered (all); the
                       next one begins when all have, one way or the other
  --body FILE          protobuf message to send
  --id-at N            offset in FILE of the 64 hex digits that each call replaces with a fresh request id
  --connections N      connections (1)
  --in-flight N        calls at a time, over all connections (1)
  --warm-up SECONDS    not counted (1)
  --seconds SECONDS    counted (5)
  --max-calls N        stop earlier, after N counted calls
  --save-answer FILE   write the answers to one call (protobuf messages) there; of several addresses to FILE.1, FILE.2 …";

/// Where calls go.
pub enum Target {
    Grpc { addresses: Vec<String>, path: String, answers: usize },
    Engine { socket: PathBuf, method: u16, hello: Vec<u8> },
}

pub struct Options {
    pub target: Target,
    pub body: PathBuf,
    pub id_at: usize,
    pub connections: usize,
    pub in_flight: usize,
    pub warm_up_seconds: f64,
    pub seconds: f64,
    pub max_calls: usize,
    pub save_answer: Option<PathBuf>,
}

impl Options {
    pub fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut given = std::collections::BTreeMap::new();
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| HELP.to_owned())?;
            given.insert(name.strip_prefix("--").ok_or_else(|| HELP.to_owned())?.to_owned(), value);
        }
        let mut text = |name: &str| given.remove(name);
        let target = match (text("grpc"), text("engine")) {
            (Some(list), None) => {
                let addresses: Vec<String> = list.split(',').map(str::to_owned).collect();
                let answers = number("answers", text("answers"), Some(addresses.len()))?;
                if answers == 0 || answers > addresses.len() {
                    return Err("--answers is at least 1 and at most the number of addresses".into());
                }
                Target::Grpc { addresses, path: required("path", text("path"))?, answers }
            }
            (None, Some(socket)) => Target::Engine {
                socket: socket.into(),
                method: number("method", text("method"), None)?,
                hello: unhex(&required("hello", text("hello"))?)?,
            },
            _ => return Err(HELP.to_owned()),
        };
        let options = Self {
            target,
            body: required("body", text("body"))?.into(),
            id_at: number("id-at", text("id-at"), None)?,
            connections: number("connections", text("connections"), Some(1))?,
            in_flight: number("in-flight", text("in-flight"), Some(1))?,
            warm_up_seconds: number("warm-up", text("warm-up"), Some(1.0))?,
            seconds: number("seconds", text("seconds"), Some(5.0))?,
            max_calls: number("max-calls", text("max-calls"), Some(usize::MAX))?,
            save_answer: text("save-answer").map(PathBuf::from),
        };
        match given.keys().next() {
            Some(unknown) => Err(format!("unknown option --{unknown}\n{HELP}")),
            None if options.connections == 0 || options.in_flight == 0 => {
                Err("--connections and --in-flight start at 1".into())
            }
            None => Ok(options),
        }
    }
}

fn required(name: &str, value: Option<String>) -> Result<String, String> {
    value.ok_or_else(|| format!("--{name} is missing\n{HELP}"))
}

fn number<T: std::str::FromStr>(name: &str, value: Option<String>, default: Option<T>) -> Result<T, String> {
    match (value, default) {
        (Some(text), _) => text.parse().map_err(|_| format!("--{name} {text} is not a number")),
        (None, Some(default)) => Ok(default),
        (None, None) => Err(format!("--{name} is missing\n{HELP}")),
    }
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let digit = |c: u8| (c as char).to_digit(16).map(|d| d as u8);
    let pair = |pair: &[u8]| Some((digit(*pair.first()?)? << 4) | digit(*pair.get(1)?)?);
    text.as_bytes().chunks(2).map(pair).collect::<Option<_>>().ok_or_else(|| format!("{text} is not hex"))
}
