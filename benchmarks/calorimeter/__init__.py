"""Photon clusters in a calorimeter: the problem of doi:10.1109/ACCESS.2025.3578926.

``stack`` is the material, ``shower`` the profiles, ``matrix`` their energy in cells, ``photons``
what comes in, ``setting`` the two data sets; ``simulation`` puts these together. ``events`` and
``events_file`` hold the outcome, in memory and in HDF5. ``parametric`` is what is done without
learning, ``facts`` and ``validation`` compare with what is known.

``inputs`` scales events for networks and has their losses; ``networks`` is the family,
``models`` adds how they are trained, and ``space`` is where models are searched for.
``baselines`` is what they are compared with. ``parts`` has the disjoint parts of the data, and
``training`` the objective; ``study``, ``sample_size`` and ``initialization`` are the studies of
the paper. ``command`` and ``study_command`` are ``python -m benchmarks calorimeter``.
"""
