//! Session keyrings, security modules, `argv[0]`.

use container_core::{Container, ErrorKind, Mount, ProcessBuilder, Stdio, lsm};

use crate::support::printed;

/// The id and permissions of a keyring in `/proc/keys` of the process.
fn keyring(text: &str, name: &str) -> Option<(String, String)> {
    let description = format!(" {name}: ");
    let line = text.lines().find(|line| line.contains(&description))?;
    let fields: Vec<&str> = line.split_whitespace().collect();
    Some((fields[0].to_owned(), fields[4].to_owned()))
}

#[test]
fn a_session_keyring_is_named_and_shared_by_name() {
    if !std::path::Path::new("/proc/keys").exists() {
        return;
    }
    let name = testkit::unique("_ses.test");
    let keys = || ProcessBuilder::new("cat").arg("/proc/keys").session_keyring(&*name);
    let (_, permissions) = keyring(&printed(keys()), &name).expect("the keyring");
    assert_eq!(permissions, "3f1b0000");
    // One that is held by a process is found by its name.
    let holder = ProcessBuilder::new("sleep").arg("100").session_keyring(&*name).spawn().unwrap();
    let found: Vec<_> = (0..2).map(|_| keyring(&printed(keys()), &name).unwrap().0).collect();
    assert_eq!(found[0], found[1]);
    drop(holder);
    let without = ProcessBuilder::new("cat").arg("/proc/keys").session_keyring("");
    let text = printed(without);
    assert!(keyring(&text, "_ses").is_some(), "{text}");
}

#[test]
fn a_process_in_a_container_has_the_container_s_keyring() {
    if !testkit::is_root() && !testkit::require_unprivileged_userns() {
        return;
    }
    if !std::path::Path::new("/proc/keys").exists() {
        return;
    }
    let name = testkit::unique("_ses.container");
    let rootfs = testkit::rootfs_dirs();
    let mut builder = Container::builder(rootfs.path()).mount(Mount::proc("/second"));
    for path in testkit::Rootfs::binds() {
        builder = builder.mount(Mount::bind(&path, &path).read_only());
    }
    let builder = builder.process(|process| process.session_keyring(&*name));
    let container = builder.command("sleep").arg("100").stdout(Stdio::Null).start().unwrap();
    // The first /proc/keys is masked.
    let session = || {
        let text = printed(container.exec("cat").unwrap().arg("/second/keys"));
        keyring(&text, &name).unwrap_or_else(|| panic!("{name} is not in {text}"))
    };
    assert_eq!(session(), session());
    container.kill().unwrap();
}

#[test]
fn a_security_module_that_is_not_there_is_named() {
    let new = || ProcessBuilder::new("/bin/true");
    let cases = [
        (lsm::apparmor(), new().apparmor_profile("container-default")),
        (lsm::selinux(), new().selinux_label("system_u:system_r:container_t:s0:c1,c2")),
    ];
    for (facility, builder) in cases {
        if facility.available {
            continue;
        }
        let error = builder.plan().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        let words = format!("{} is not enabled", facility.name);
        assert!(error.to_string().contains(&words), "{error}");
        assert!(error.way_out().is_some(), "{error}");
    }
}

/// A loaded profile, removed on drop.
struct Profile {
    name: String,
    parser: std::path::PathBuf,
    file: testkit::TempDir,
}

impl Profile {
    /// None where that is not possible.
    fn load() -> Option<Self> {
        let parser = testkit::peer("apparmor_parser").filter(|_| testkit::is_root())?;
        let (name, file) = (testkit::unique("container-test"), testkit::TempDir::new());
        let rules =
            format!("profile {name} flags=(attach_disconnected) {{\n file,\n signal,\n}}\n");
        std::fs::write(file.join("profile"), rules).unwrap();
        let profile = Self { name, parser, file };
        profile.parse("-rK").then_some(profile)
    }

    fn parse(&self, option: &str) -> bool {
        let mut command = std::process::Command::new(&self.parser);
        command.arg(option).arg(self.file.join("profile")).status().unwrap().success()
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        self.parse("-R");
    }
}

#[test]
fn a_profile_confines_the_program() {
    if !lsm::apparmor().available {
        return;
    }
    let look = || ProcessBuilder::new("cat").arg("/proc/self/attr/apparmor/current");
    let missing = look().apparmor_profile("no-such-profile").output().unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
    assert!(missing.to_string().contains("not loaded"), "{missing}");
    assert_eq!(printed(look().apparmor_profile("unconfined")), "unconfined\n");
    if let Some(profile) = Profile::load() {
        let confined = format!("{} (enforce)\n", profile.name);
        let user = container_core::UserSpec::by_ids(1000, 1000).unwrap();
        for builder in [look(), look().user(user), look().init(true)] {
            assert_eq!(printed(builder.apparmor_profile(&*profile.name)), confined);
        }
        confined_in_a_container(&profile.name);
    }
}

/// Through a clone, a change of root and user, and for what is executed inside.
fn confined_in_a_container(profile: &str) {
    let rootfs = testkit::rootfs_dirs();
    let mut builder = Container::builder(rootfs.path());
    for path in testkit::Rootfs::binds() {
        builder = builder.mount(Mount::bind(&path, &path).read_only());
    }
    let container = builder
        .process(|process| process.apparmor_profile(profile))
        .namespaces(|namespaces| namespaces.with(container_core::NamespaceKind::Time))
        .command("sleep")
        .arg("100")
        .stdout(Stdio::Null)
        .start()
        .unwrap();
    let confined = format!("{profile} (enforce)\n");
    let own = std::fs::read_to_string(format!("/proc/{}/attr/apparmor/current", container.pid()));
    assert_eq!(own.unwrap(), confined);
    let inside = container.exec("cat").unwrap().arg("/proc/self/attr/apparmor/current");
    assert_eq!(printed(inside), confined);
    container.kill().unwrap();
}

#[test]
fn the_first_argument_is_the_program_s_name_for_itself() {
    let builder = ProcessBuilder::new("cat").arg("/proc/self/cmdline");
    assert_eq!(printed(builder.clone()), "cat\0/proc/self/cmdline\0");
    let renamed = builder.arg0("-other").env("A", "b").current_dir("/");
    assert_eq!(printed(renamed.clone()), "-other\0/proc/self/cmdline\0");
    assert_eq!(renamed.get_args().collect::<Vec<_>>(), ["/proc/self/cmdline"]);
    let variables: Vec<_> = renamed.get_envs().collect();
    assert_eq!(variables, [("A".as_ref(), "b".as_ref())]);
    assert_eq!(renamed.get_current_dir(), Some("/".as_ref()));
}
