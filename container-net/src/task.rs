//! Work that has been started on a thread of its own: await it, or wait for it.
//!
//! Network set-up enters other namespaces and sits in system calls that wait for locks of the
//! kernel, so it must run neither on the caller's thread nor on an executor's. Every operation
//! here therefore starts at once on its own short-lived thread and hands back a [`Task`], which
//! needs no particular async runtime: `.await` it in any of them, or [`Task::wait`] in blocking
//! code. Dropping it does not cancel the work; a handle that nobody collected is dropped, and a
//! dropped handle removes what it stands for.
//!
//! ```no_run
//! use container_net::{Endpoint, EndpointOptions, NetNs, Network, Result};
//!
//! /// Two containers at once, in async code.
//! async fn connect_both(network: &Network, a: &NetNs, b: &NetNs) -> Result<[Endpoint; 2]> {
//!     let first = network.connect(a, EndpointOptions::new()); // both are under way
//!     let second = network.connect(b, EndpointOptions::new());
//!     Ok([first.await?, second.await?])
//! }
//!
//! /// One, in blocking code.
//! fn connect(network: &Network, netns: &NetNs) -> Result<Endpoint> {
//!     network.connect(netns, EndpointOptions::new()).wait()
//! }
//! ```

use std::fmt;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::{Error, ErrorKind, Result};

/// An operation under way on its own thread. See the [module documentation](self).
#[must_use = "the work goes on, but its errors are lost; await it or call wait()"]
pub struct Task<T> {
    slot: Arc<Slot<T>>,
}

struct Slot<T> {
    state: Mutex<State<T>>,
    done: Condvar,
}

struct State<T> {
    result: Option<Result<T>>,
    waker: Option<Waker>,
}

/// Fills the slot; one that is dropped unfilled reports that the work was lost.
struct Sender<T>(Option<Arc<Slot<T>>>);

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self, result: Result<T>) {
        let waker = {
            let mut state = self.lock();
            state.result = Some(result);
            state.waker.take()
        };
        self.done.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Sender<T> {
    fn send(mut self, result: Result<T>) {
        if let Some(slot) = self.0.take() {
            slot.fill(result);
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            slot.fill(Err(Error::refused(
                ErrorKind::Os,
                "worker thread",
                "container-net",
                "it ended early; this is a bug",
            )));
        }
    }
}

impl<T> Task<T> {
    /// A task that has its result already.
    pub(crate) fn ready(result: Result<T>) -> Self {
        let state = State { result: Some(result), waker: None };
        Self { slot: Arc::new(Slot { state: Mutex::new(state), done: Condvar::new() }) }
    }

    /// A task that was refused before it began.
    pub(crate) fn failed(error: Error) -> Self {
        Self::ready(Err(error))
    }
}

impl<T: Send + 'static> Task<T> {
    /// Starts `work` on a thread of its own, inside `netns` when one is given.
    pub(crate) fn start(
        netns: Option<Arc<OwnedFd>>,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Self {
        let slot = Arc::new(Slot {
            state: Mutex::new(State { result: None, waker: None }),
            done: Condvar::new(),
        });
        let sender = Sender(Some(Arc::clone(&slot)));
        let body = move || {
            let result = match &netns {
                Some(netns) => enter(netns).and_then(|()| work()),
                None => work(),
            };
            drop(netns);
            sender.send(result);
        };
        let spawned = thread::Builder::new().name("container-net".into()).spawn(body);
        if let Err(cause) = spawned {
            slot.fill(Err(Error::os("start thread", "container-net", cause)));
        }
        Self { slot }
    }

    /// Blocks the calling thread until the work is done. Async code awaits the task instead.
    pub fn wait(self) -> Result<T> {
        let mut state = self.slot.lock();
        loop {
            if let Some(result) = state.result.take() {
                return result;
            }
            state = self.slot.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Moves the calling thread (made for this, and ended after it) into a network namespace.
pub(crate) fn enter(netns: &OwnedFd) -> Result<()> {
    use std::os::fd::AsFd;
    move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network)).map_err(|cause| {
        Error::os("setns", "network namespace", cause)
            .with_hint("CAP_SYS_ADMIN over the namespace is needed; see container_net::probe()")
    })
}

impl<T> Future for Task<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.slot.lock();
        match state.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = self.slot.lock().result.is_some();
        f.debug_struct("Task").field("done", &done).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_runs_without_being_polled_and_can_be_waited_for() {
        let task = Task::start(None, || Ok(7));
        assert_eq!(task.wait().unwrap(), 7);
    }

    #[test]
    fn a_task_is_a_future_of_any_executor() {
        struct Unpark(thread::Thread);
        impl std::task::Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut task = std::pin::pin!(Task::start(None, || {
            thread::sleep(std::time::Duration::from_millis(20));
            Ok("done")
        }));
        let result = loop {
            match task.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(result) => break result,
                Poll::Pending => thread::park(),
            }
        };
        assert_eq!(result.unwrap(), "done");
    }

    #[test]
    fn work_that_panics_is_an_error_and_not_a_hang() {
        let task: Task<()> = Task::start(None, || panic!("on purpose"));
        assert!(task.wait().unwrap_err().to_string().contains("ended early"));
    }
}
