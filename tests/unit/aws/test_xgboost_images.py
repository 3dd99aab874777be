"""The table of SageMaker's XGBoost images."""

from __future__ import annotations

import pytest

from controller.aws.images import XGBOOST_ACCOUNTS, XGBOOST_VERSIONS, ecr_registry_host, xgboost_image_uri
from controller.errors import RejectedError


def test_the_image_of_a_region():
    """As AWS's documentation writes it."""
    assert (
        xgboost_image_uri("us-east-1", "3.2-0")
        == "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.2-0"
    )


@pytest.mark.parametrize(
    ("region", "domain"),
    [("cn-north-1", "amazonaws.com.cn"), ("us-iso-east-1", "c2s.ic.gov"), ("eu-west-1", "amazonaws.com")],
)
def test_each_partition_has_its_domain(region, domain):
    """A registry's host ends in its partition's domain."""
    assert ecr_registry_host("1", region) == f"1.dkr.ecr.{region}.{domain}"


def test_an_unknown_region_says_what_to_do():
    """The error names the region, and the SDK that can look it up or could not."""
    with pytest.raises(RejectedError, match=r"xx-nowhere-9.*SDK"):
        xgboost_image_uri("xx-nowhere-9", "3.2-0")


def test_an_unknown_version_names_the_known_ones():
    """1.7-1 is a real version, but not one whose models are served."""
    with pytest.raises(RejectedError, match=r"3\.0-5, 3\.2-0"):
        xgboost_image_uri("us-east-1", "1.7-1")


@pytest.mark.parametrize("version", XGBOOST_VERSIONS)
def test_image_table_matches_the_sagemaker_sdk(version):
    """Region by region what `image_uris.retrieve` gives, and no region less."""
    image_uris = pytest.importorskip(
        "sagemaker.core.image_uris", reason="sagemaker-core is not installed: pip install 'moorage[sagemaker]'"
    )
    config = image_uris.config_for_framework("xgboost")["training"]["versions"][version]["registries"]
    assert set(config) == set(XGBOOST_ACCOUNTS)
    for region in XGBOOST_ACCOUNTS:
        assert xgboost_image_uri(region, version) == image_uris.retrieve("xgboost", region, version=version)
