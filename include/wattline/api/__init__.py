"""What people and programs read from the platform over HTTP; the web server is somebody else's matter."""
