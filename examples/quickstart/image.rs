//! An image of this machine's own programs: packed, layered, stored, unpacked.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use container_image::layer::{LayerBuilder, LayerOptions};
use container_image::{ChainId, HostPrograms, Image, ImageBuilder, Reference, Store};

use crate::place::Place;
use crate::story::{Story, Told};
use crate::{Result, ensure, strip};

/// Taken from the host, with the loader and the libraries that they need.
const PROGRAMS: [&str; 6] = ["/bin/sh", "cat", "ls", "mkdir", "rm", "sleep"];

/// What the container runs: it reads what the layers made, changes something, and serves.
const SCRIPT: &str = r#"set -eu
echo "pid $$ on $(cat /proc/sys/kernel/hostname)"
cat /etc/motd /etc/greeting
test ! -e /etc/obsolete
echo "changed by the container" >> /etc/motd
mkdir /data/new
echo "all is well" > /data/new/report
rm /data/draft
exec /bin/quickstart-server serve"#;

/// The image's name in its layout.
pub(crate) const NAME: &str = "quickstart";
/// The name of the image that holds the container's changes.
pub(crate) const CHANGED: &str = "quickstart-changed";
/// What the second layer makes of `/etc/motd`.
pub(crate) const MOTD: &str = "changed by the second layer\n";
/// What the second layer adds as `/etc/greeting`.
pub(crate) const GREETING: &str = "hello from the second layer\n";

/// An image in its store, and its layers as directories, bottom to top.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) store: Store,
    pub(crate) image: Image,
    pub(crate) layers: Vec<PathBuf>,
}

/// Makes the image and unpacks it, in a store in `place`.
pub(crate) fn make(story: &mut Story, place: &Place) -> Result<Unpacked> {
    // Not flushed to the disk: it lives for seconds.
    let store = Store::open(place.join("store"))?.durable(false);
    let base = story.step("programs", |told| pack(told, &place.join("server")))?;
    let change = story.step("change", second_layer)?;
    let image = story.step("image", |told| put(told, &store, &base, &change))?;
    let layers = story.step("unpack", |told| unpack(told, &store, &image))?;
    Ok(Unpacked { store, image, layers })
}

fn pack(told: &mut Told, own: &Path) -> Result<LayerBuilder> {
    strip::copy_of_this_program(own)?;
    let own = own.to_str().ok_or("the temporary directory's path is not UTF-8")?;
    let layer = HostPrograms::new()
        .programs(PROGRAMS)
        .program_at(own, "/bin/quickstart-server")
        .add_file("/etc/motd", "from the base layer\n", 0o644)
        .add_file("/etc/obsolete", "to be deleted by the second layer\n", 0o644)
        .add_file("/data/draft", "to be deleted by the container\n", 0o644)
        .dir("/dev", 0o755)
        .dir("/proc", 0o555)
        .dir("/sys", 0o555)
        .dir("/tmp", 0o1777)
        .build()?;
    let libraries = layer.paths().filter(|path| is_library(&path.to_string_lossy())).count();
    ensure(libraries > 0 || layer.contains("/bin/sh"), || "nothing was packed".into())?;
    told.say(format!(
        "{} and this program as a server, from this machine",
        PROGRAMS.map(|path| path.trim_start_matches("/bin/")).join(" ")
    ));
    told.say(format!(
        "{} entries, {libraries} of them libraries that their ELF files ask for",
        layer.len()
    ));
    Ok(layer)
}

fn is_library(path: &str) -> bool {
    path.contains(".so.") || path.ends_with(".so")
}

fn second_layer(told: &mut Told) -> Result<LayerBuilder> {
    let mut layer = LayerBuilder::new();
    layer.file("etc/greeting", GREETING, 0o644)?;
    layer.file("etc/motd", MOTD, 0o644)?;
    layer.whiteout("etc/obsolete")?;
    told.say("a second layer: adds /etc/greeting, changes /etc/motd, deletes /etc/obsolete");
    Ok(layer)
}

fn put(
    told: &mut Told,
    store: &Store,
    base: &LayerBuilder,
    change: &LayerBuilder,
) -> Result<Image> {
    let base = store.put_layer(base, &LayerOptions::new())?;
    let change = store.put_layer(change, &LayerOptions::new())?;
    let name: Reference = NAME.parse()?;
    let builder = ImageBuilder::new()
        .layer(&base, "programs of this machine")
        .layer(&change, "a file added, one changed, one deleted")
        .env("PATH", "/usr/bin:/bin")
        .cmd(["/bin/sh", "-c", SCRIPT])
        .expose(format!("{}/tcp", crate::inside::PORT))
        .created_now();
    store.put_image(&name, &builder)?;

    // Read back, every digest verified.
    let image = store.image(&name)?;
    ensure(image.diff_ids() == [base.diff_id().clone(), change.diff_id().clone()], || {
        format!("the image has other layers: {:?}", image.diff_ids())
    })?;
    let bytes: u64 = image.layers().iter().map(container_image::layer::Layer::size).sum();
    told.say(format!("{NAME}, an OCI image layout, {} compressed", mebibytes(bytes)));
    for (diff_id, chain_id) in image.diff_ids().iter().zip(image.chain_ids()) {
        let (diff, chain) = (diff_id.to_string(), chain_id.to_string());
        told.say(format!("DiffID {}   ChainID {}", short(&diff), short(&chain)));
    }
    Ok(image)
}

/// The algorithm and the first digits.
pub(crate) fn short(digest: &str) -> &str {
    digest.get(..7 + 12).unwrap_or(digest)
}

/// A size for people.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn unpack(told: &mut Told, store: &Store, image: &Image) -> Result<Vec<PathBuf>> {
    let layers = store.unpack(image)?;
    let chain = ChainId::of(&image.diff_ids());
    for (directory, chain) in layers.iter().zip(&chain) {
        let keyed = directory.iter().any(|name| name == chain.digest().hex());
        ensure(keyed, || format!("{} is not keyed by {chain}", directory.display()))?;
    }
    let [_, top] = &layers[..] else { return Err("not two layers".into()) };
    ensure(fs::read_to_string(top.join("etc/motd"))? == MOTD, || "/etc/motd is another".into())?;
    let mark = fs::symlink_metadata(top.join("etc/obsolete"))?;
    ensure(mark.file_type().is_char_device() && mark.rdev() == 0, || {
        "the deleted file is not marked by a character device 0:0".into()
    })?;
    told.say("a directory for each, named by its ChainID; .wh.obsolete is a device 0:0 there");
    Ok(layers)
}
