"""The shelf of ways to export a gradient-trained member. One file a method; each is `class Part(Method)`."""
