"""The Flower app: names what `cranpm.clients.app` does, so that its hash changes only with the app."""
