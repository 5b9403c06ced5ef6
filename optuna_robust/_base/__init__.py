"""The ground: checks of arguments, array types, versions, files; imports no other room."""
