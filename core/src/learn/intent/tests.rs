//! Checks of the learner on a small sample of questions to a parcel service.

use proptest::prelude::*;

use super::*;

const SAMPLE: &[(u32, &[&str])] = &[
    (
        1,
        &[
            "Where is my parcel?",
            "My parcel has not come yet",
            "When does the parcel arrive?",
            "Tracking says it was delivered but there is no parcel",
            "How long until my delivery gets here?",
        ],
    ),
    (
        2,
        &[
            "I want my money back",
            "How do I get a refund?",
            "Please refund the order",
            "You charged me, return the money",
            "The refund has not reached my account",
        ],
    ),
    (
        3,
        &[
            "Change my delivery address",
            "I have moved, send it to my new address",
            "Can I still correct the address?",
            "The street in my order is wrong",
            "Please deliver to another house",
        ],
    ),
    (
        4,
        &[
            "I forgot my password",
            "The app does not let me log in",
            "Reset my login please",
            "My account is locked",
            "The sign-in code never comes",
        ],
    ),
];

fn taught(recipe: Recipe) -> (Intents, Featurizer) {
    let (mut intents, mut featurizer) = (Intents::new(recipe), Featurizer::new());
    for round in 0..5 {
        for (intent, texts) in SAMPLE {
            intents.learn(&featurizer.features(texts[round]), IntentId(*intent), 1.0);
        }
    }
    (intents, featurizer)
}

fn encoded(intents: &Intents) -> Vec<u8> {
    let mut bytes = Vec::new();
    intents.encode(&mut bytes);
    bytes
}

#[test]
fn what_was_taught_is_known() {
    for recipe in Recipe::ALL {
        let (intents, mut featurizer) = taught(recipe);
        for (text, wanted) in [
            ("my parcel is not here", 1),
            ("give me a refund of my money", 2),
            ("please send it to a new address", 3),
            ("cannot log in, password forgotten", 4),
        ] {
            let ranking = intents.rank(&featurizer.features(text), 3);
            assert_eq!(ranking.best(), Some(IntentId(wanted)), "{text} by {recipe:?}");
            assert_eq!(ranking.intents.len(), 3);
        }
        let known = intents.rank(&featurizer.features("where is my parcel"), 1).confidence;
        let foreign = intents.rank(&featurizer.features("Волки воют на луну"), 1).confidence;
        assert!(foreign < 0.5 && foreign < known, "{foreign} {known}");
    }
}

#[test]
fn one_example_of_a_new_intent_is_enough_for_the_first_three() {
    let (mut intents, mut featurizer) = taught(Recipe::Replay);
    intents.learn(&featurizer.features("Do you ship to Iceland?"), IntentId(9), 1.0);
    for text in ["is shipping to iceland possible", "ship a box to Iceland", "Iceland: do you go there?"] {
        let ranking = intents.rank(&featurizer.features(text), 3);
        assert!(ranking.intents.iter().any(|(intent, _)| *intent == IntentId(9)), "{text}: {ranking:?}");
    }
}

#[test]
fn the_newest_label_of_a_text_wins_soon() {
    let (mut intents, mut featurizer) = taught(Recipe::Replay);
    let features = featurizer.features("Where is my parcel?");
    let is_moved = (0..5).any(|_| {
        intents.learn(&features, IntentId(2), 1.0);
        intents.rank(&features, 1).best() == Some(IntentId(2))
    });
    assert!(is_moved);
}

#[test]
fn who_is_trusted_less_changes_less() {
    let ahead = |weight: f32| {
        let (mut intents, mut featurizer) = taught(Recipe::OnePass);
        let features = featurizer.features("Where is my parcel?");
        intents.learn(&features, IntentId(4), weight);
        let ranking = intents.rank(&features, 4).intents;
        let score = |id| ranking.iter().find(|(intent, _)| *intent == IntentId(id)).unwrap().1;
        score(1) - score(4)
    };
    assert!(ahead(0.1) > ahead(1.0));
    assert_eq!(ahead(0.0).to_bits(), ahead(f32::NAN).to_bits());
}

#[test]
fn intents_are_merged_and_removed() {
    let (mut intents, mut featurizer) = taught(Recipe::Replay);
    intents.merge(IntentId(3), IntentId(1));
    let features = featurizer.features("send it to my new address");
    assert_eq!(intents.rank(&features, 1).best(), Some(IntentId(1)));
    intents.merge(IntentId(1), IntentId(7));
    assert_eq!(intents.rank(&features, 1).best(), Some(IntentId(7)));
    intents.remove(IntentId(7));
    let left: Vec<_> = intents.rank(&features, 9).intents.iter().map(|(intent, _)| intent.0).collect();
    assert_eq!(left.len(), 2);
    assert!(left.contains(&2) && left.contains(&4));
    intents.remove(IntentId(2));
    intents.remove(IntentId(4));
    assert_eq!(intents.rank(&features, 9), Ranking::default());
}

#[test]
fn a_snapshot_is_the_same_learner() {
    for recipe in Recipe::ALL {
        let (mut intents, mut featurizer) = taught(recipe);
        let bytes = encoded(&intents);
        let mut again = Intents::decode(&mut bytes.as_slice()).unwrap();
        assert_eq!(encoded(&again), bytes);
        let features = featurizer.features("a late parcel 📦 and no answer");
        intents.learn(&features, IntentId(1), 0.7);
        again.learn(&features, IntentId(1), 0.7);
        assert_eq!(encoded(&again), encoded(&intents));
        assert_eq!(again.rank(&features, 5), intents.rank(&features, 5));
        for end in (0..bytes.len()).step_by(211) {
            assert!(Intents::decode(&mut &bytes[..end]).is_err());
        }
    }
}

/// The number is what one machine made: another one, or a change of what is learned, shows here.
#[test]
fn a_learner_is_the_same_on_every_machine() {
    let (intents, mut featurizer) = taught(Recipe::Replay);
    let mut bytes = encoded(&intents);
    let ranking = intents.rank(&featurizer.features("a refund for the lost parcel"), 4);
    ranking.intents.iter().for_each(|(_, score)| bytes.extend(score.to_bits().to_le_bytes()));
    bytes.extend(ranking.confidence.to_bits().to_le_bytes());
    let digest =
        bytes.iter().fold(0_u32, |state, byte| state.rotate_left(5).wrapping_mul(31) ^ u32::from(*byte));
    assert_eq!(digest, 274_352_910);
}

#[test]
fn personal_data_is_no_feature() {
    let mut featurizer = Featurizer::new();
    let one = featurizer.features("Order A-100200 of kim@example.com, call +44 20 7946 0958");
    let other = featurizer.features("order Z-999888 of lee@example.org, call +1 (555) 010-9999");
    assert_eq!(one, other);
    assert!(featurizer.features("😀").len() == 1 && featurizer.features(" \u{0}\n").is_empty());
}

#[test]
fn what_stands_for_an_address_is_no_word_about_addresses() {
    let mut featurizer = Featurizer::new();
    let masked = featurizer.features("kim@example.com");
    let word = featurizer.features("email");
    assert!(masked.words.iter().all(|feature| !word.words.contains(feature)));
    assert!(masked.grams.is_empty());
    assert_eq!(masked.words, featurizer.features("lee@example.org").words);
}

#[test]
fn baselines_learn() {
    for method in Method::ALL {
        let (mut baseline, mut featurizer) = (Baseline::new(method), Featurizer::new());
        for _ in 0..3 {
            for (intent, texts) in SAMPLE {
                texts.iter().for_each(|text| baseline.learn(&featurizer.features(text), IntentId(*intent)));
            }
        }
        let best = baseline.rank(&featurizer.features("refund my money"), 1).best();
        assert_eq!(best, Some(IntentId(2)), "{}", method.name());
    }
}

proptest! {
    #[test]
    fn any_texts_and_labels_are_learned_in_numbers(
        texts in proptest::collection::vec((".{0,60}|[a-z 😀退款0-9]{0,40}", 0_u32..6, 0.0_f32..1.2), 1..30),
    ) {
        let mut featurizer = Featurizer::new();
        let mut intents = Intents::new(Recipe::Replay);
        for (text, intent, weight) in &texts {
            let features = featurizer.features(text);
            intents.learn(&features, IntentId(*intent), *weight);
            let ranking = intents.rank(&features, 10);
            prop_assert!((0.0..=1.0).contains(&ranking.confidence));
            prop_assert!(ranking.intents.iter().all(|(_, score)| score.is_finite()));
        }
        let bytes = encoded(&intents);
        let again = Intents::decode(&mut bytes.as_slice()).unwrap();
        prop_assert_eq!(encoded(&again), bytes);
    }

    #[test]
    fn any_bytes_are_a_text(bytes in proptest::collection::vec(any::<u8>(), 0..300), times in 1_usize..200) {
        let text = String::from_utf8_lossy(&bytes).repeat(times);
        let features = Featurizer::new().features(&text);
        prop_assert!(features.len() <= crate::limits::FEATURES_MAX);
        prop_assert!(features.words.iter().chain(&features.grams).all(|(_, count)| count.is_finite()));
    }

    #[test]
    fn damaged_bytes_do_no_harm(place in 0_usize..4_000, byte in any::<u8>()) {
        let (intents, mut featurizer) = taught(Recipe::Replay);
        let mut bytes = encoded(&intents);
        let place = place % bytes.len();
        bytes[place] = byte;
        if let Ok(mut damaged) = Intents::decode(&mut bytes.as_slice()) {
            let features = featurizer.features("where is my parcel");
            damaged.learn(&features, IntentId(2), 1.0);
            prop_assert!((0.0..=1.0).contains(&damaged.rank(&features, 3).confidence));
        }
    }
}
