//! Scratch: loads image archives into a store.
fn main() {
    let mut a = std::env::args().skip(1);
    let store = harness_images::store::Store::open(a.next().unwrap().as_ref()).unwrap();
    for f in a { store.load(f.as_ref()).unwrap(); }
}
