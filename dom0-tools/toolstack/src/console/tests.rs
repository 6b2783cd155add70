//! Consoles: no byte lost, none kept without bound.

use super::scrollback::KEPT_BYTES;
use super::*;
use crate::builder::{build, Request};
use crate::client::fake::{tiny_kernel, FakeHypervisor};
use crate::config::{read_config, Uuid};
use alloc::string::String;
use alloc::vec::Vec;
use proptest::prelude::*;

fn guest(fake: &FakeHypervisor) -> (DomId, Console<FakeHypervisor>) {
    let text = b"name = 'a'\nkernel = 'k'\nmemory = 8";
    let config = read_config("a.cfg", text, &[]).unwrap().config;
    let kernel = tiny_kernel(100, 0);
    let request =
        Request { config: &config, uuid: Uuid::from_seed(1), kernel: &kernel, ramdisk: None };
    let paused = build(fake, &request).unwrap();
    let channel = paused.console();
    let domain = paused.release();
    (domain, Console::connect(fake.clone(), domain, channel).unwrap())
}

fn everything(console: &Console<FakeHypervisor>) -> Vec<u8> {
    console.scrollback().read_from(0).bytes
}

#[test]
fn what_was_printed_before_the_service_came_is_not_lost() {
    let fake = FakeHypervisor::new(64);
    let (domain, mut console) = guest(&fake);
    fake.guest_prints(domain, b"early\n");
    console.pump();
    assert_eq!(everything(&console), b"early\n");
    assert_eq!(fake.take_notification(), Some(console.port()));
}

#[test]
fn what_was_printed_right_before_death_is_not_lost() {
    let fake = FakeHypervisor::new(64);
    let before = fake.counts();
    let (domain, console) = guest(&fake);
    fake.guest_prints(domain, b"last words");
    fake.destroy_domain(domain).unwrap();
    assert_eq!(console.into_scrollback().read_from(0).bytes, b"last words");
    assert_eq!(fake.counts(), before);
}

#[test]
fn typed_bytes_reach_the_domain_in_order_even_when_its_ring_is_full() {
    let fake = FakeHypervisor::new(64);
    let (domain, mut console) = guest(&fake);
    let typed: Vec<u8> = (0..3000u32).map(|index| b'a' + (index % 26) as u8).collect();
    assert_eq!(console.type_in(&typed), 3000);
    let mut received = String::new();
    for _ in 0..4 {
        received.push_str(&fake.guest_reads(domain));
        console.pump();
    }
    assert_eq!(received.as_bytes(), typed);
    assert_eq!(console.type_in(&[b'x'; 6000]), LONGEST_INPUT);
}

#[test]
fn a_hostile_ring_is_given_up_and_says_so() {
    let fake = FakeHypervisor::new(64);
    let (domain, mut console) = guest(&fake);
    fake.guest_prints(domain, b"fine");
    console.pump();
    fake.guest_stores_console_word(domain, layout::OFFSET_OUT_PROD, 0x8000_0000);
    console.pump();
    console.pump();
    let text = String::from_utf8(everything(&console)).unwrap();
    assert_eq!(text.matches("corrupt").count(), 1);
    assert!(text.starts_with("fine"));
}

#[test]
fn last_words_are_those_of_the_most_recent_domain_of_a_name() {
    let mut words = LastWords::default();
    let mut scrollback = Scrollback::default();
    scrollback.append(b"one");
    words.remember("a", &scrollback);
    scrollback.append(b" two");
    words.remember("a", &scrollback);
    assert_eq!(words.of("a"), Some(&b"one two"[..]));
    assert_eq!(words.of("b"), None);
    for index in 0..8 {
        words.remember(&alloc::format!("x{index}"), &scrollback);
    }
    assert_eq!(words.of("a"), None);
}

proptest! {
    #[test]
    fn scrollback_keeps_exactly_the_last_bytes(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9000), 0..20),
        place in 0u64..200_000,
    ) {
        let mut scrollback = Scrollback::default();
        let mut model = Vec::new();
        for piece in &pieces {
            scrollback.append(piece);
            model.extend_from_slice(piece);
        }
        prop_assert_eq!(scrollback.end(), model.len() as u64);
        let kept = model.len().saturating_sub(KEPT_BYTES);
        let from = (place as usize).clamp(kept, model.len().max(kept));
        let chunk = scrollback.read_from(place);
        prop_assert_eq!(&chunk.bytes[..], &model[from..]);
        prop_assert_eq!(chunk.missed, (kept as u64).saturating_sub(place));
    }

    #[test]
    fn any_words_in_the_ring_page_are_survived(words in proptest::collection::vec((0usize..4, any::<u32>()), 1..8)) {
        let fake = FakeHypervisor::new(64);
        let (domain, mut console) = guest(&fake);
        for (which, value) in words {
            fake.guest_stores_console_word(domain, layout::OFFSET_IN_CONS + which * 4, value);
            console.type_in(b"x");
            console.pump();
        }
    }
}
