//! One proxy's reference to an object of a server in another process.

use std::sync::Arc;
use std::time::Instant;

use super::{Client, State, keeper};
use crate::error::Result;
use crate::protocol::carriage::Keep;
use crate::protocol::limits::HANDSHAKE_TIME;
use crate::protocol::notice::ControlNotice;
use crate::protocol::{ObjectId, TicketId, Token};

/// Keeps an object alive in its server.
///
/// Clones of a proxy share one; dropping the last tells the server, without waiting.
pub struct RemoteReference {
    client: Arc<Client>,
    token: Token,
}

impl RemoteReference {
    /// A reference that the ledger has counted already.
    pub(super) fn counted(client: &Arc<Client>, object: ObjectId, typeid: Arc<str>) -> Arc<Self> {
        let token = Token { server: client.server, object, typeid, address: Arc::clone(&client.address) };
        Arc::new(Self { client: Arc::clone(client), token })
    }

    /// Takes a reference by a token that came in by another way than a call.
    ///
    /// Connects to the token's server if this process is not its client yet, and so may block, at most 10 s.
    pub fn redeem(token: Token, ticket: Option<TicketId>) -> Result<Arc<Self>> {
        let client = Client::reach(token.server, &token.address)?;
        client.check_own()?;
        client.ensure_notices(Instant::now() + HANDSHAKE_TIME)?;
        {
            let mut state = client.state();
            let State { ledger, notices, .. } = &mut *state;
            ledger.grant(token.object);
            notices.say(ControlNotice::Redeem { object: token.object, ticket }, None, ledger);
        }
        Ok(Self::counted(&client, token.object, token.typeid))
    }

    /// The client that it belongs to.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// What it refers to.
    pub fn token(&self) -> &Token {
        &self.token
    }
}

impl Keep for RemoteReference {
    fn issue(self: Arc<Self>) -> Option<TicketId> {
        if !self.client.is_own() {
            return None;
        }
        // A forked child's first word: without it, the ticket would be worth nothing after the child's end. Where the server can't be reached, it is anyway.
        let _ = self.client.ensure_notices(Instant::now() + HANDSHAKE_TIME);
        let mut state = self.client.state();
        state.next_ticket += 1;
        let (client, number) = (state.id, state.next_ticket);
        let issue = ControlNotice::Issue { object: self.token.object, ticket: number };
        let State { notices, ledger, .. } = &mut *state;
        let sent = notices.say(issue, None, ledger);
        drop(state);
        if !sent {
            keeper::keep(&self.client);
        }
        Some(TicketId { client, number })
    }
}

impl Drop for RemoteReference {
    fn drop(&mut self) {
        if !self.client.is_own() {
            return;
        }
        let sent = {
            let mut state = self.client.state();
            let State { ledger, notices, .. } = &mut *state;
            match ledger.release(self.token.object) {
                Some(count) => notices.say(ControlNotice::Release(vec![count]), None, ledger),
                None => true,
            }
        };
        if !sent {
            keeper::keep(&self.client);
        }
    }
}
