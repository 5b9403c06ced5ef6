"""An instance and its trial: how an objective is called once, and what a trial keeps of it."""
