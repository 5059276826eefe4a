"""Bring models and data sets to this machine; converts what is not safetensors. One file a source."""
