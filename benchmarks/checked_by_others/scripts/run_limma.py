"""Moderated variances by limma's port in InMoose."""

from __future__ import annotations

import json
import sys

from inmoose.limma.squeezeVar import squeezeVar
import numpy as np


answers = []
for variances, df in json.load(sys.stdin):
    squeezed = squeezeVar(np.array(variances), np.array(df))
    answers.append(
        {
            "prior_variance": float(squeezed["var_prior"]),
            "prior_df": float(squeezed["df_prior"]),
            "posterior": squeezed["var_post"].tolist(),
        }
    )
json.dump(answers, sys.stdout)
