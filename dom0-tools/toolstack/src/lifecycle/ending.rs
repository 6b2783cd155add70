//! Asking domains to end, and stopping those that cannot be asked.
//!
//! A guest that hears is asked through its node `control/shutdown`, and ends by itself when it is ready.
//! It hears if it says so, with `control/feature-poweroff` or `feature-reboot`, or if it watches that
//! node. Every other guest is stopped at once with the reason, as `SCHEDOP_remote_shutdown` does.

use super::control::refuse_dom0;
use super::Toolstack;
use crate::client::Hypervisor;
use crate::error::ToolError;
use alloc::format;
use hypercall_abi::sched::shutdown;
use hypercall_abi::DomId;
use pv_xenbus::{path::home, Tx};

/// How a domain is made to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It is asked if it hears, and stopped otherwise.
    Ask,
    /// It is stopped.
    Force,
}

/// Why a domain is to end.
#[derive(Clone, Copy)]
struct Order {
    /// What its node says.
    word: &'static str,
    /// The node by which it says that it obeys.
    feature: &'static str,
    /// The reason with which it is stopped.
    reason: u32,
}

const POWEROFF: Order =
    Order { word: "poweroff", feature: "feature-poweroff", reason: shutdown::POWEROFF };
const REBOOT: Order = Order { word: "reboot", feature: "feature-reboot", reason: shutdown::REBOOT };

impl<H: Hypervisor + Clone> Toolstack<'_, H> {
    /// Powers a domain off.
    ///
    /// # Errors
    /// It has ended already, or the store or the hypervisor refused.
    pub fn shutdown(&self, domain: DomId, manner: Manner) -> Result<(), ToolError> {
        refuse_dom0(domain, "shut down like this", "use 'poweroff'")?;
        self.end(domain, manner, POWEROFF)
    }

    /// Reboots a domain.
    ///
    /// # Errors
    /// It has ended already, or the store or the hypervisor refused.
    pub fn reboot(&self, domain: DomId, manner: Manner) -> Result<(), ToolError> {
        refuse_dom0(domain, "rebooted like this", "use the command 'reboot'")?;
        self.end(domain, manner, REBOOT)
    }

    fn end(&self, domain: DomId, manner: Manner, order: Order) -> Result<(), ToolError> {
        if self.record(domain).is_some_and(|record| record.has_ended) {
            let text = format!("domain {domain} has ended and is kept for inspection");
            return Err(ToolError::refused(text + "; remove it with 'zl destroy'"));
        }
        if manner == Manner::Ask && self.hears(domain, order) {
            let node = shutdown_node(domain);
            return self.store.write(Tx::NONE, &node, order.word.as_bytes()).map_err(|errno| {
                let advice = "use -F to stop it without asking";
                ToolError::hypercall("xenstore write", format_args!("{node}"), errno, advice)
            });
        }
        self.hypervisor.remote_shutdown(domain, order.reason).map_err(|errno| {
            let argument = format_args!("domain_id={domain}, reason={}", order.reason);
            ToolError::hypercall("SCHEDOP_remote_shutdown", argument, errno, "see 'zl list'")
        })
    }

    fn hears(&self, domain: DomId, order: Order) -> bool {
        let feature = format!("{}/control/{}", home(domain), order.feature);
        self.store.text(Tx::NONE, &feature).is_ok_and(|text| text == "1")
            || self.store.is_watched_by(domain, &shutdown_node(domain))
    }
}

fn shutdown_node(domain: DomId) -> alloc::string::String {
    format!("{}/control/shutdown", home(domain))
}
