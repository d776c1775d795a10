//! Calls on the engine's Unix socket: frames of `u32le length | u8 kind | u32le call id | payload`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, oneshot};

use crate::Outcome;
use crate::body::Body;

const CALL: u8 = 1;
const RESULT: u8 = 2;
const HELLO: u8 = 9;
/// Kind and call id, which the length counts too.
const AFTER_LENGTH: usize = 5;
/// Method and length of the (empty) call head.
const CALL_PREFIX: usize = 6;

type Waiting = Rc<RefCell<HashMap<u32, oneshot::Sender<Outcome>>>>;

#[derive(Clone)]
pub struct Client {
    writer: Rc<Mutex<OwnedWriteHalf>>,
    waiting: Waiting,
    last_id: Rc<Cell<u32>>,
    method: u16,
}

pub async fn connect(socket: &Path, method: u16, hello: &[u8]) -> std::io::Result<Client> {
    let (reader, mut writer) = UnixStream::connect(socket).await?.into_split();
    let mut frame = header(HELLO, 0, hello.len());
    frame.put_slice(hello);
    writer.write_all(&frame).await?;
    let waiting = Waiting::default();
    tokio::task::spawn_local(read(reader, waiting.clone()));
    Ok(Client { writer: Rc::new(Mutex::new(writer)), waiting, last_id: Rc::default(), method })
}

impl Client {
    pub async fn call(&self, body: &Body) -> Outcome {
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        let mut prefix = header(CALL, id, CALL_PREFIX + body.len());
        prefix.put_u16_le(self.method);
        prefix.put_u32_le(0);
        let (first, second) = body.next(&prefix);
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().insert(id, sender);
        let written = async {
            let mut writer = self.writer.lock().await;
            writer.write_all(&first).await?;
            writer.write_all(&second).await
        };
        if let Err(error) = written.await {
            return Err(format!("socket: {error}"));
        }
        receiver.await.unwrap_or_else(|_| Err("socket: closed by the engine".into()))
    }
}

fn header(kind: u8, id: u32, payload: usize) -> BytesMut {
    let mut frame = BytesMut::with_capacity(4 + AFTER_LENGTH + CALL_PREFIX);
    frame.put_u32_le((AFTER_LENGTH + payload) as u32);
    frame.put_u8(kind);
    frame.put_u32_le(id);
    frame
}

/// Hands each answer to its caller until the socket closes; then every caller still waiting is told.
async fn read(reader: OwnedReadHalf, waiting: Waiting) {
    let mut reader = BufReader::with_capacity(1 << 16, reader);
    while let Ok(length) = reader.read_u32_le().await {
        let Ok(kind) = reader.read_u8().await else { break };
        let Ok(id) = reader.read_u32_le().await else { break };
        let mut payload = vec![0; (length as usize).saturating_sub(AFTER_LENGTH)];
        if reader.read_exact(&mut payload).await.is_err() {
            break;
        }
        if let Some(sender) = waiting.borrow_mut().remove(&id) {
            let outcome = if kind == RESULT { Ok(payload) } else { Err(format!("engine frame of kind {kind}")) };
            let _ = sender.send(outcome);
        }
    }
    waiting.borrow_mut().clear();
}
