"""From pictures and partial labels to training batches, with tf.data."""
