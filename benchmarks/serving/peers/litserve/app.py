"""LitServe with in-place prediction, one API server and one worker."""

import os
import sys

import litserve
import numpy as np
import xgboost as xgb


class Housing(litserve.LitAPI):
    """One booster."""

    def setup(self, device):
        """Read the model file."""
        del device
        self.booster = xgb.Booster({"nthread": 1}, model_file=os.environ["MODEL"])

    def decode_request(self, request):
        """Take the rows."""
        return np.array(request["instances"], dtype=np.float32)

    def predict(self, x):
        """Predict all rows."""
        return self.booster.inplace_predict(x)

    def encode_response(self, output):
        """Give a list."""
        return {"predictions": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Housing(), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, log_level="warning", generate_client_file=False
    )
