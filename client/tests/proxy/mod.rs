//! A proxy that cuts connections.

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;
use tagus_client::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A proxy that cuts each connection after a random number of bytes, `cuts` times in all.
pub async fn cutting_proxy(target: &Endpoint, seed: u64, cuts: usize) -> Endpoint {
    let target = target.url().strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        let mut random = Pcg64::new(seed.into(), 11);
        let mut cut = 0;
        while let Ok((client, _)) = listener.accept().await {
            let up = if cut < cuts { 300 + u64::from(random.next_u32() % 20_000) } else { u64::MAX };
            let down = if cut < cuts { 100 + u64::from(random.next_u32() % 3_000) } else { u64::MAX };
            cut += 1;
            let Ok(server) = TcpStream::connect(&target).await else { return };
            tokio::spawn(forward(client, server, up, down));
        }
    });
    endpoint
}

async fn forward(mut client: TcpStream, mut server: TcpStream, up: u64, down: u64) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    tokio::select! {
        () = copy(&mut from_client, &mut to_server, up) => {}
        () = copy(&mut from_server, &mut to_client, down) => {}
    }
}

async fn copy(from: &mut (impl AsyncReadExt + Unpin), to: &mut (impl AsyncWriteExt + Unpin), mut budget: u64) {
    let mut bytes = [0; 4096];
    while budget > 0 {
        let Ok(read @ 1..) = from.read(&mut bytes).await else { return };
        let passed = budget.min(read as u64) as usize;
        if to.write_all(&bytes[..passed]).await.is_err() {
            return;
        }
        budget -= passed as u64;
    }
}
