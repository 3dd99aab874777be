"""A runtime for MLServer that predicts in place; its own one for XGBoost asks for another release of the library."""

import numpy as np
import xgboost as xgb
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Housing(MLModel):
    """One booster."""

    async def load(self) -> bool:
        """Read the model file."""
        self.booster = xgb.Booster({"nthread": 1}, model_file=self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Predict one tensor of shape [rows, features]."""
        rows = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32)
        values = self.booster.inplace_predict(rows)
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("predict", values)])
