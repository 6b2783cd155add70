//! Names.

use alloc::vec;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use smoltcp::socket::dns::{GetQueryResultError, QueryHandle, Socket};
use smoltcp::wire::{DnsQueryType, IpAddress};

use super::config::NetError;
use super::signal::Signal;
use super::stack::Stack;
use super::state::{State, MAX_QUERIES};

impl Stack {
    /// The addresses of a host; a dotted address is its own answer.
    ///
    /// # Errors
    /// `BadName`, `UnknownName`, `TimedOut`, `TooManySockets` when many ask at once.
    pub fn resolve(&self, name: &str, deadline_ns: Option<u64>) -> Result<Vec<Ipv4Addr>, NetError> {
        self.resolve_unless(name, deadline_ns, &|| false)
    }

    /// The same, unless `give_up` becomes true and its thread is woken; that is `TimedOut`.
    ///
    /// # Errors
    /// As `resolve`.
    pub fn resolve_unless(
        &self,
        name: &str,
        deadline_ns: Option<u64>,
        give_up: &dyn Fn() -> bool,
    ) -> Result<Vec<Ipv4Addr>, NetError> {
        if let Ok(address) = name.parse() {
            return Ok(vec![address]);
        }
        let signal = Signal::new(self.kernel);
        let query = self.change(|state| ask(state, name))?;
        let attempt = || self.attempt(|state| answer(state, query, &signal));
        let answer = signal.wait_unless(deadline_ns, give_up, attempt);
        self.look(|state| {
            state.queries -= 1;
            if answer.is_none() {
                state.sockets.get_mut::<Socket>(state.dns).cancel_query(query);
            }
        });
        answer.unwrap_or(Err(NetError::TimedOut))
    }
}

fn ask(state: &mut State, name: &str) -> Result<QueryHandle, NetError> {
    let has_server = state.current.as_ref().is_some_and(|(now, _)| !now.dns.is_empty());
    if !has_server {
        return Err(NetError::UnknownName);
    }
    if state.queries >= MAX_QUERIES {
        return Err(NetError::TooManySockets);
    }
    let socket = state.sockets.get_mut::<Socket>(state.dns);
    let query = socket.start_query(state.iface.context(), name, DnsQueryType::A);
    let query = query.map_err(|_| NetError::BadName)?;
    state.queries += 1;
    Ok(query)
}

fn answer(
    state: &mut State,
    query: QueryHandle,
    signal: &Signal,
) -> Option<Result<Vec<Ipv4Addr>, NetError>> {
    let socket = state.sockets.get_mut::<Socket>(state.dns);
    match socket.get_query_result(query) {
        Err(GetQueryResultError::Pending) => {
            socket.register_query_waker(query, signal.waker());
            None
        }
        Err(GetQueryResultError::Failed) => Some(Err(NetError::UnknownName)),
        Ok(found) => {
            let v4 = found.iter().map(|IpAddress::Ipv4(address)| *address).collect();
            Some(Ok(v4))
        }
    }
}
