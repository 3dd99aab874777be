"""What Moorage takes the place of: a Flask app on its development server that makes a DataFrame and a DMatrix per
request.
"""

import os
import sys
from io import StringIO

import pandas as pd
import xgboost as xgb
from flask import Flask, jsonify, request

app = Flask(__name__)
booster = xgb.Booster(model_file=os.environ["MODEL"])


@app.get("/healthcheck")
def healthcheck():
    """Answer."""
    return "OK"


@app.post("/")
def predict():
    """Predict the one row in `pred_x_csv`."""
    content = request.get_json()
    row = pd.read_csv(StringIO(content["pred_x_csv"]), header=None)
    value = str(booster.predict(xgb.DMatrix(row.values))[0])
    if content.get("response_content_type") == "text/plain":
        return value
    return jsonify({"Predicted value": value})


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(sys.argv[1]))
