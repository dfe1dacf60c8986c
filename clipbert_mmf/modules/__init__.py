"""The parts of the network, in the order of the data flow: backbone, fusion over time, embedding, encoder, heads."""
