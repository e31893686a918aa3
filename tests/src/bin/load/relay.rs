//! The least that can stand in the middle: bytes are copied and none is read.

use std::net::SocketAddr;

use clap::Args;
use tokio::net::{
    TcpStream,
    tcp::{OwnedReadHalf, OwnedWriteHalf},
};

use crate::{Failure, serve::Listening};

#[derive(Debug, Args)]
pub(crate) struct ServeRelay {
    #[command(flatten)]
    listening: Listening,
    /// Where `drive-bridge` plays the agents' platform.
    #[arg(long)]
    platform: SocketAddr,
}

/// Relays every connection, with one task for each direction.
pub(crate) async fn serve(args: ServeRelay) -> Result<(), Failure> {
    let listener = args.listening.bind().await?;
    let accepting = async {
        loop {
            let (caller, _) = listener.accept().await?;
            tokio::spawn(relay(caller, args.platform));
        }
    };
    tokio::select! {
        failed = accepting => failed,
        stopped = args.listening.stopped() => stopped,
    }
}

async fn relay(caller: TcpStream, platform: SocketAddr) {
    let connected = async {
        let agent = TcpStream::connect(platform).await?;
        caller.set_nodelay(true)?;
        agent.set_nodelay(true)?;
        Ok::<_, std::io::Error>(agent)
    };
    match connected.await {
        Ok(agent) => {
            let (from_caller, to_caller) = caller.into_split();
            let (from_agent, to_agent) = agent.into_split();
            tokio::spawn(copy(from_caller, to_agent));
            tokio::spawn(copy(from_agent, to_caller));
        }
        Err(error) => eprintln!("a connection was not relayed: {error}"),
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    if let Err(error) = tokio::io::copy(&mut from, &mut to).await {
        eprintln!("a relayed connection broke: {error}");
    }
}
