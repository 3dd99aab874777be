"""FastAPI with a typed body and in-place prediction."""

import os

import numpy as np
import xgboost as xgb
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
booster = xgb.Booster({"nthread": 1}, model_file=os.environ["MODEL"])


class Question(BaseModel):
    """Rows of features."""

    instances: list[list[float | None]]


class Answer(BaseModel):
    """A value per row."""

    predictions: list[float]


@app.post("/predict")
async def predict(question: Question) -> Answer:
    """Predict in the event loop: a prediction is shorter than the way to a thread."""
    rows = np.array(question.instances, dtype=np.float32)
    return Answer(predictions=booster.inplace_predict(rows).tolist())
