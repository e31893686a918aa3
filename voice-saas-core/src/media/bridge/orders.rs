//! What a bridge is told from outside.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::Context,
};

use futures_util::task::AtomicWaker;

const GOODBYE: u8 = 1;
const END: u8 = 2;

/// An order to a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// End when the agent's last words were played.
    Goodbye,
    /// End at once.
    End,
}

/// How a bridge is told to end, by any number of clones. The bridge looks with every frame, so a look takes no lock.
#[derive(Debug, Clone, Default)]
pub(crate) struct BridgeOrders(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    given: AtomicU8,
    bridge: AtomicWaker,
}

impl BridgeOrders {
    /// At once.
    pub(crate) fn end(&self) {
        self.give(END);
    }

    /// When the agent's last words were played.
    pub(crate) fn say_goodbye(&self) {
        self.give(GOODBYE);
    }

    fn give(&self, order: u8) {
        self.0.given.fetch_or(order, Ordering::Release);
        self.0.bridge.wake();
    }

    /// What was ordered; a goodbye is told once.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Option<Order> {
        self.0.bridge.register(cx.waker());
        match self.0.given.load(Ordering::Acquire) {
            0 => None,
            given if given & END != 0 => Some(Order::End),
            _ => {
                self.0.given.fetch_and(!GOODBYE, Ordering::AcqRel);
                Some(Order::Goodbye)
            }
        }
    }
}
