//! The host program: its noise, its containers, and its state before and after.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::PipeWriter;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use testkit::{HostState, Leaks};

use crate::containers::{KINDS, Maker};
use crate::kernel::Counts;
use crate::noise::{self, Noise};

const SPAWNERS: usize = 4;
const THREADS: usize = 8;
/// Descriptors that the host left without close-on-exec.
const LEAKED: usize = 100;

/// Runs a lane and returns its figures.
pub(super) fn run(lane: &str, count: usize) -> String {
    let maker = Arc::new(Maker::new(lane == "user"));
    let home = testkit::TempDir::new();
    unusual_state(&home);
    let (mut reader, log) = std::io::pipe().unwrap();
    let logger =
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()).unwrap());
    let state = HostState::capture();
    // Opens what is opened once (the init's image).
    for number in 0..KINDS {
        maker.make(number, None);
    }
    let (leaks, kernel) = (Leaks::tagged(&maker.tag), Counts::now());
    let start = Instant::now();
    match lane {
        "tokio" => in_a_runtime(&maker, count, &log),
        _ => from_threads(&maker, count, &log),
    }
    let seconds = start.elapsed().as_secs_f64();
    state.assert_unchanged();
    leaks.assert_unchanged();
    let kernel = kernel.assert_not_grown(count);
    drop(log);
    let logged = logger.join().unwrap();
    std::env::set_current_dir("/").unwrap();
    format!(
        "{count} containers in {seconds:.1} s, {:.0} per second, {} retries, {} signals handled, \
         {logged} bytes logged; nothing left{}{kernel}",
        count as f64 / seconds,
        maker.retries.load(Ordering::Relaxed),
        noise::signals_handled(),
        if kernel.is_empty() { "" } else { "; kernel-wide: " },
    )
}

/// A state that differs from the usual, so that a reset to it would show.
fn unusual_state(home: &testkit::TempDir) {
    std::env::set_current_dir(home.path()).unwrap();
    noise::handle_signals();
    let file = File::open("/etc/passwd").unwrap();
    for _ in 0..LEAKED {
        // SAFETY: a number in, a number out.
        assert!(unsafe { libc::dup(file.as_raw_fd()) } > 2);
    }
    // SAFETY: numbers, a live rlimit and a live signal set.
    unsafe {
        libc::umask(0o027);
        libc::signal(libc::SIGUSR1, libc::SIG_IGN);
        let limit = libc::rlimit { rlim_cur: 777, rlim_max: 1111 };
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut set, libc::SIGUSR2);
        assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()), 0);
    }
    std::fs::write("/proc/self/oom_score_adj", "321").unwrap();
}

/// Eight noisy threads, four of which make the containers.
fn from_threads(maker: &Arc<Maker>, count: usize, log: &PipeWriter) {
    let (over, next) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| noise::send_signals(&over));
        for seed in SPAWNERS..THREADS {
            let noise = Noise::new(seed as u64, log.try_clone().unwrap());
            scope.spawn(|| noise.go_on(&over));
        }
        let spawners: Vec<_> = (0..SPAWNERS)
            .map(|seed| {
                let noise = Noise::new(seed as u64, log.try_clone().unwrap());
                let next = &next;
                scope.spawn(move || make_until(maker, count, next, noise, seed))
            })
            .collect();
        let panicked = spawners.into_iter().map(|spawner| spawner.join()).any(|end| end.is_err());
        over.store(true, Ordering::Relaxed);
        assert!(!panicked, "a container did not end as it should");
    });
}

fn make_until(maker: &Maker, count: usize, next: &AtomicUsize, mut noise: Noise, seed: usize) {
    let state = HostState::capture();
    let cgroup = maker.cgroup(&seed.to_string());
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            break;
        }
        noise.step();
        let make = || maker.make(number, cgroup.as_deref());
        if number % 7 == 3 { noise::with_locks_held(make) } else { make() }
    }
    if let Some(cgroup) = cgroup {
        cgroup.close().unwrap();
    }
    // This thread's own mask and namespaces.
    let now = HostState::capture();
    let differences = state.differences(&now);
    let own = differences.iter().find(|line| !line.starts_with("Threads"));
    assert_eq!(own, None);
}

/// From the workers of a runtime themselves, and from its blocking threads.
fn in_a_runtime(maker: &Arc<Maker>, count: usize, log: &PipeWriter) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| noise::send_signals(&over));
        for seed in SPAWNERS..THREADS {
            let noise = Noise::new(seed as u64, log.try_clone().unwrap());
            scope.spawn(|| noise.go_on(&over));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .max_blocking_threads(8)
            .enable_all()
            .build()
            .unwrap();
        let cgroup = maker.cgroup("tokio");
        let shared = cgroup.as_deref().cloned();
        let all_ended = runtime.block_on(async {
            let tasks: Vec<_> = (0..count)
                .map(|number| {
                    let (maker, cgroup) = (Arc::clone(maker), shared.clone());
                    let make = move || maker.make(number, cgroup.as_ref());
                    if number % 2 == 0 {
                        tokio::task::spawn_blocking(make)
                    } else {
                        tokio::spawn(async move {
                            tokio::time::sleep(Duration::from_micros(number as u64)).await;
                            make();
                        })
                    }
                })
                .collect();
            let mut all_ended = true;
            for task in tasks {
                all_ended &= task.await.is_ok();
            }
            all_ended
        });
        drop(runtime);
        drop(shared);
        if let Some(cgroup) = cgroup {
            cgroup.close().unwrap();
        }
        over.store(true, Ordering::Relaxed);
        assert!(all_ended, "a container did not end as it should");
    });
}
