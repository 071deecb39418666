"""The parts of the object graph, which `services.container` puts together."""
