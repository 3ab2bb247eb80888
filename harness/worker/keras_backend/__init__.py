"""Runs of Keras' scenarios, on TensorFlow: nothing in here, or reached from here, imports torch."""
