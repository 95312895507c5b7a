"""The firehose itself: frames, where they come from, the relay that serves them."""
