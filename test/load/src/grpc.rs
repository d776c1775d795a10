//! Unary gRPC over cleartext HTTP/2.

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use tokio::net::TcpStream;

use crate::Outcome;
use crate::body::Body;

const WINDOW: u32 = 4 << 20;
const GRPC_HEADER_SIZE: usize = 5;

#[derive(Clone)]
pub struct Client {
    sender: SendRequest<Bytes>,
    uri: http::Uri,
}

pub async fn connect(address: &str, path: &str) -> std::io::Result<Client> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake(stream)
        .await
        .map_err(std::io::Error::other)?;
    tokio::task::spawn_local(connection);
    let uri = format!("http://{address}{path}").parse().map_err(std::io::Error::other)?;
    Ok(Client { sender, uri })
}

impl Client {
    /// Sends a message in its two pieces, the first of them behind the prefix of [`prefix`].
    pub async fn call(&self, first: Bytes, second: Bytes) -> Outcome {
        self.try_call(first, second).await.unwrap_or_else(|error| Err(format!("http2: {error}")))
    }

    async fn try_call(&self, first: Bytes, second: Bytes) -> Result<Outcome, h2::Error> {
        let mut sender = self.sender.clone().ready().await?;
        let mut request = Request::post(self.uri.clone())
            .header("content-type", "application/grpc+proto")
            .header("te", "trailers")
            .body(())
            .expect("the request is well-formed");
        *request.version_mut() = http::Version::HTTP_2;
        let (response, mut stream) = sender.send_request(request, false)?;
        stream.send_data(first, false)?;
        stream.send_data(second, true)?;

        let (head, mut incoming) = response.await?.into_parts();
        let mut answer = Vec::new();
        while let Some(chunk) = incoming.data().await {
            let chunk = chunk?;
            incoming.flow_control().release_capacity(chunk.len())?;
            answer.extend_from_slice(&chunk);
        }
        let trailers = incoming.trailers().await?;
        let status = trailers.as_ref().and_then(status_of).or_else(|| status_of(&head.headers));
        Ok(match status {
            Some("0") if answer.len() >= GRPC_HEADER_SIZE => Ok(answer.split_off(GRPC_HEADER_SIZE)),
            Some("0") => Err("no message in the answer".into()),
            Some(other) => Err(format!("grpc status {other}")),
            None => Err(format!("http status {}", head.status)),
        })
    }
}

/// What stands before a message of this body.
pub fn prefix(body: &Body) -> BytesMut {
    let mut prefix = BytesMut::with_capacity(GRPC_HEADER_SIZE);
    prefix.put_u8(0);
    prefix.put_u32(body.len() as u32);
    prefix
}

fn status_of(headers: &HeaderMap) -> Option<&str> {
    headers.get("grpc-status")?.to_str().ok()
}
