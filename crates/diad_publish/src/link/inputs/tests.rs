use super::*;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn topic_with_messages_of_the_plant_is_not_tried() {
    let mut inputs = Inputs::new(true, true);
    assert_eq!(inputs.due(at(100)), None, "nothing is subscribed");
    inputs.granted(at(1));
    assert!(!inputs.received(Input::Product, at(1)), "the retained one");
    assert_eq!(inputs.due(at(2)), None);
    assert_eq!(inputs.due(at(3)), Some(Input::Trigger));
    inputs.received(Input::Trigger, at(3));
    assert_eq!(inputs.due(at(60)), None);
    assert_eq!(inputs.due(at(61)), Some(Input::Product), "it may be kept back by now");
}

#[test]
fn topic_that_does_not_deliver_is_withheld_until_something_comes() {
    let mut inputs = Inputs::new(false, true);
    inputs.granted(at(0));
    assert_eq!(inputs.due(at(2)), Some(Input::Product), "no camera takes triggers");
    inputs.tried(Input::Product, at(2));
    assert_eq!((inputs.due(at(3)), inputs.is_open(at(3))), (None, true));
    inputs.look(at(5), at(5));
    assert!(inputs.withheld().is_empty());
    inputs.look(at(6), at(2));
    assert!(inputs.withheld().is_empty(), "the broker has sent nothing since");
    inputs.look(at(6), at(6));
    assert_eq!((inputs.withheld(), inputs.is_open(at(6))), (vec![Input::Product], false));
    assert_eq!((inputs.due(at(11)), inputs.due(at(12))), (None, Some(Input::Product)));
    inputs.tried(Input::Product, at(12));
    assert!(inputs.received(Input::Product, at(13)));
    inputs.look(at(60), at(60));
    assert!(inputs.withheld().is_empty());
}
