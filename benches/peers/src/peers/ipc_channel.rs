//! ipc-channel: a pair of channels, one thread on each side.

use anyhow::Result;
use ipc_channel::ipc::{IpcOneShotServer, IpcReceiver, IpcSender, channel};

use crate::clients::{Call, Forked};

type Link = (IpcSender<i64>, IpcReceiver<i64>);

pub struct IpcChannel;

impl IpcChannel {
    /// A client with a server of its own, which is what ipc-channel offers.
    pub fn client() -> Result<Call> {
        let (rendezvous, name) = IpcOneShotServer::<Link>::new()?;
        let server = Forked::run(move || {
            let (send_request, requests) = channel::<i64>()?;
            let (replies, receive_reply) = channel::<i64>()?;
            IpcSender::connect(name)?.send((send_request, receive_reply))?;
            let mut count = 0;
            while let Ok(n) = requests.recv() {
                count += n;
                replies.send(count)?;
            }
            Ok(())
        })?;
        let (_, (requests, replies)) = rendezvous.accept()?;
        Ok(Box::new(move || {
            let _alive = &server;
            requests.send(1)?;
            replies.recv()?;
            Ok(1)
        }))
    }
}
