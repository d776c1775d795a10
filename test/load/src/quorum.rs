//! One call to several nodes at once, as a client of a quorum asks: the same request at each of them.

use std::rc::Rc;
use std::time::Instant;

use crate::body::Body;
use crate::grpc::{self, Client};
use crate::{Outcome, Outcomes};

#[derive(Clone)]
pub struct Quorum {
    clients: Rc<Vec<Client>>,
    /// How many answers a call needs.
    answers: usize,
}

/// Connects to every address.
pub async fn connect(addresses: &[String], path: &str, answers: usize) -> std::io::Result<Quorum> {
    let mut clients = Vec::with_capacity(addresses.len());
    for address in addresses {
        clients.push(grpc::connect(address, path).await?);
    }
    Ok(Quorum { clients: Rc::new(clients), answers })
}

impl Quorum {
    pub async fn call(&self, body: &Body) -> Outcomes {
        let (first, second) = body.next(&grpc::prefix(body));
        if let [client] = self.clients.as_slice() {
            return client.call(first, second).await.map(|answer| (Instant::now(), vec![Some(answer)]));
        }
        let (sender, mut ended) = tokio::sync::mpsc::unbounded_channel::<(usize, Outcome)>();
        for (index, client) in self.clients.iter().enumerate() {
            let (client, first, second, sender) = (client.clone(), first.clone(), second.clone(), sender.clone());
            tokio::task::spawn_local(async move {
                let _ = sender.send((index, client.call(first, second).await));
            });
        }
        drop(sender);
        let mut found: Vec<Option<Vec<u8>>> = vec![None; self.clients.len()];
        let (mut count, mut answered, mut failure) = (0, None, None);
        while let Some((index, outcome)) = ended.recv().await {
            match outcome {
                Ok(answer) => {
                    found[index] = Some(answer);
                    count += 1;
                    if count == self.answers {
                        answered = Some(Instant::now());
                    }
                }
                Err(name) => failure = Some(name),
            }
        }
        match answered {
            Some(answered) => Ok((answered, found)),
            None => Err(failure.unwrap_or_else(|| "no answers".into())),
        }
    }
}
