"""The backend of Keras scenarios, on TensorFlow; neither it nor its imports import torch."""
