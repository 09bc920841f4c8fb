//! A real container from an empty machine, in one program:
//!
//! ```sh
//! cargo run --release --example quickstart
//! ```
//!
//! Image of this machine's own programs → layers → overlay → network → cgroup → container → a second
//! process inside → limits and statistics → pause and resume → an exchange over HTTP → exit status →
//! changes → a new image of them → everything removed. As root and as an ordinary user, without a
//! network and without any other container program. Each step proves its effect; the first that
//! can't ends the program with status 1, and takes everything back.
//!
//! `main` has the plot; each module has one part of it, with the calls of one crate.

mod changes;
mod image;
mod inside;
mod interrupt;
mod keep;
mod limits;
mod made;
mod network;
mod overlay;
mod place;
mod running;
mod story;
mod strip;

use std::io::{Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use container_core::{Container, NamespaceKind, Rootfs, Stdio};

use image::Unpacked;
use limits::Limits;
use made::Made;
use network::Link;
use place::Place;
use running::{Client, Lines};
use story::{Story, Told};

/// Any error: this is a program, not a library.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const HELP: &str = "\
A container from this machine's own programs: image, layers, overlay, network, cgroup, container,
exec, statistics, pause, exchange, exit status, changes, commit, clean-up.

usage: quickstart [--explain] [--keep DIR]

  --explain    print the container's plan: each operation with its arguments, and why it is there
  --keep DIR   keep the images in DIR, a new or empty directory, as an OCI image layout:
               skopeo inspect oci:DIR:quickstart
               umoci unpack --image DIR:quickstart BUNDLE
  --help       this text

Everything lies in one directory below TMPDIR (or /tmp, /var/tmp, /dev/shm) and is removed at the
end, also after a failure, Ctrl-C or SIGTERM. SIGKILL ends the container too, and leaves the
directory; the next network that is made removes what is left of the bridge.
";

/// What the command line asks for.
#[derive(Debug, Default)]
struct Options {
    explain: bool,
    keep: Option<PathBuf>,
    help: bool,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--explain" => options.explain = true,
                "--keep" => {
                    options.keep = Some(arguments.next().ok_or("--keep needs a directory")?.into());
                }
                "--help" | "-h" => options.help = true,
                other => return Err(format!("unknown argument {other:?}; see --help").into()),
            }
        }
        Ok(options)
    }
}

/// An error with this text unless `condition` holds.
fn ensure(condition: bool, text: impl FnOnce() -> String) -> Result<()> {
    if condition { Ok(()) } else { Err(text().into()) }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = if arguments.first().is_some_and(|verb| inside::VERBS.contains(&verb.as_str())) {
        inside::run(&arguments)
    } else {
        outside(&arguments)
    };
    result.unwrap_or_else(|error| {
        let _ = writeln!(stderr(), "quickstart: {error}");
        ExitCode::from(if interrupt::asked() { 130 } else { 1 })
    })
}

fn outside(arguments: &[String]) -> Result<ExitCode> {
    let options = Options::parse(arguments)?;
    if options.help {
        stdout().write_all(HELP.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    interrupt::watch()?;
    if let Some(directory) = &options.keep {
        keep::check(directory)?;
    }
    can_run()?;
    let mut story = Story::begin();
    let mut made = Made::default();
    let result = whole(&mut story, &mut made, &options);
    let (lines, all_gone) = made.report();
    if !lines.is_empty() {
        story.line("");
        story.heading("made and removed:");
        lines.iter().for_each(|line| story.line(&format!("  {line}")));
    }
    result?;
    ensure(all_gone, || "something is still there".into())?;
    if let Some(directory) = &options.keep {
        story.line(&format!("kept: {}", directory.display()));
    }
    story.heading(&format!("all as it should be, in {}", story.total().trim_end()));
    Ok(ExitCode::SUCCESS)
}

/// What must be there in any case.
fn can_run() -> Result<()> {
    let probe = container_core::probe();
    let needed = if is_root() { "mnt namespace" } else { "user namespace" };
    match probe.get(needed) {
        Some(facility) if !facility.available => {
            let way_out = facility.way_out.as_deref().unwrap_or("none is known");
            Err(format!("no {needed}: {}; the way out: {way_out}", facility.detail).into())
        }
        _ => Ok(()),
    }
}

/// The plot. What is made is dropped in the reverse order, whatever happens.
fn whole(story: &mut Story, made: &mut Made, options: &Options) -> Result<()> {
    let name = format!("quickstart-{}", std::process::id());
    let probe = container_fs::probe();
    let can_mount = probe.get("mount by this process").is_some_and(|found| found.available);
    let place = Place::new(&name, can_mount)?;
    made.path("directory", place.path());
    let user = if is_root() { "root" } else { "an ordinary user" };
    let kernel = nix::sys::utsname::uname()?;
    story.heading(&format!(
        "quickstart as {user} on Linux {}, in {}",
        kernel.release().display(),
        place.path().display()
    ));

    let unpacked = image::make(story, &place)?;
    let stack = overlay::stack(&unpacked.layers, &place.join("writable"))?;
    let rootfs = story.step("overlay", |told| overlay::root(told, &stack, can_mount))?;
    let link = story
        .step("network", |told| network::make(told, made, &format!("qs{}", std::process::id())))?;
    let limits = story.step("cgroup", |told| limits::make(told, made, &name))?;

    let parts = Parts { name, unpacked, link, limits };
    let stopped = run(story, made, &parts, rootfs, options.explain)?;
    let Parts { unpacked, link, limits, .. } = parts;

    story.step("changes", |told| changes::list(told, &stack))?;
    let image = story.step("commit", |told| changes::commit(told, &unpacked, &stack))?;
    story.step("run again", |told| changes::run(told, &unpacked, &image, &place, can_mount))?;
    if let Some(directory) = &options.keep {
        keep::layout(unpacked.store.path(), directory)?;
    }
    story.step("clean-up", |told| clean_up(told, stopped, link, limits, place))
}

fn clean_up(told: &mut Told, ended: Ended, link: Link, limits: Limits, place: Place) -> Result<()> {
    let mut times = Vec::new();
    let mut timed = |what: &str, work: Box<dyn FnOnce() -> Result<()>>| {
        let start = Instant::now();
        let result = work();
        times.push(format!("{what} {}", story::duration(start.elapsed()).trim_end()));
        result
    };
    let Ended { container, endpoint } = ended;
    // Each goes on past the failure of the one before.
    let results = [
        timed("container", Box::new(move || Ok(container.delete()?))),
        timed("network", Box::new(move || network::remove(link, endpoint))),
        timed("cgroup", Box::new(move || limits.close())),
        timed("directory", Box::new(move || place.remove())),
    ];
    told.say(times.join(", "));
    results.into_iter().collect()
}

/// What the container is put together from.
struct Parts {
    name: String,
    unpacked: Unpacked,
    link: Link,
    limits: Limits,
}

/// What is left when it has ended.
struct Ended {
    container: Container<container_core::container::Stopped>,
    endpoint: Option<container_net::Endpoint>,
}

/// The container's life.
fn run(
    story: &mut Story,
    made: &mut Made,
    parts: &Parts,
    rootfs: Rootfs,
    explain: bool,
) -> Result<Ended> {
    let builder = describe(parts, rootfs)?;
    if explain {
        story.heading("the plan:");
        builder.plan()?.to_string().lines().for_each(|line| story.line(&format!("  {line}")));
    }
    let mut endpoint = None;
    let mut client = Client::Inside(parts.limits.beside().cloned());
    let mut container = story.step("container", |told| {
        let start = Instant::now();
        let created = builder.create()?;
        let time = story::duration(start.elapsed());
        let pid = created.pid();
        made.path("process", format!("/proc/{pid}"));
        told.say(format!("process {pid}, set up in {time}, waits for its start"));
        if let Link::Bridge(network) = &parts.link {
            let netns = created.namespace(NamespaceKind::Net)?;
            let (connected, address) = network::connect(told, made, network, netns)?;
            endpoint = Some(connected);
            client = Client::Host(address);
        }
        Ok(created.start()?)
    })?;
    let pipe = container.take_stdout().ok_or("no standard output")?;
    let lines = Lines::of(pipe)?;
    story.step("output", |told| running::output(told, &lines, &parts.name))?;
    story.step("exec", |told| running::second_process(told, &container))?;
    story.step("statistics", |told| limits::prove(told, &parts.limits, &container))?;
    story.step("pause", |told| running::pause(told, &container, &parts.limits, &client))?;
    story.step("exchange", |told| running::exchange(told, &container, &client))?;
    let container = story.step("exit", |told| running::end(told, container, &client))?;
    Ok(Ended { container, endpoint })
}

/// The container as the image says, with this root, cgroup and name.
fn describe(parts: &Parts, rootfs: Rootfs) -> Result<container_core::ContainerBuilder> {
    let image = &parts.unpacked.image;
    let (program, arguments) = image.cmd().split_first().ok_or("the image has no command")?;
    let mut builder = Container::builder(rootfs)
        .id(&parts.name)
        .command(program)
        .args(arguments)
        .stdout(Stdio::Pipe)
        // The container must not outlive a killed quickstart. This thread is the main one, which
        // lives as long as the program.
        .process(|process| process.parent_death_signal(nix::sys::signal::Signal::SIGKILL as i32));
    for (name, value) in image.env().iter().filter_map(|variable| variable.split_once('=')) {
        builder = builder.env(name, value);
    }
    if let Some(cgroup) = parts.limits.cgroup() {
        builder = builder.cgroup((**cgroup).clone());
    }
    Ok(builder)
}
