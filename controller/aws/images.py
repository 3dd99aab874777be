"""The images of SageMaker's built-in XGBoost algorithm: one account per Region.

The table is AWS's own, from `image_uris` of the SageMaker SDK. The SDK would install hundreds of megabytes, so the
table is repeated here and a test holds the two equal. https://docs.aws.amazon.com/sagemaker/latest/dg-ecr-paths/
"""

from __future__ import annotations

from types import MappingProxyType

from controller.errors import RejectedError

XGBOOST_VERSIONS = ("3.0-5", "3.2-0")

# Region → account, the same for both versions.
XGBOOST_ACCOUNTS = MappingProxyType(
    {
        "af-south-1": "510948584623",
        "ap-east-1": "651117190479",
        "ap-northeast-1": "354813040037",
        "ap-northeast-2": "366743142698",
        "ap-northeast-3": "867004704886",
        "ap-south-1": "720646828776",
        "ap-south-2": "628508329040",
        "ap-southeast-1": "121021644041",
        "ap-southeast-2": "783357654285",
        "ap-southeast-3": "951798379941",
        "ap-southeast-4": "106583098589",
        "ca-central-1": "341280168497",
        "ca-west-1": "190319476487",
        "cn-north-1": "450853457545",
        "cn-northwest-1": "451049120500",
        "eu-central-1": "492215442770",
        "eu-central-2": "680994064768",
        "eu-north-1": "662702820516",
        "eu-south-1": "978288397137",
        "eu-south-2": "104374241257",
        "eu-west-1": "141502667606",
        "eu-west-2": "764974769150",
        "eu-west-3": "659782779980",
        "il-central-1": "898809789911",
        "me-central-1": "272398656194",
        "me-south-1": "801668240914",
        "sa-east-1": "737474898029",
        "us-east-1": "683313688378",
        "us-east-2": "257758044811",
        "us-gov-east-1": "237065988967",
        "us-gov-west-1": "414596584902",
        "us-iso-east-1": "833128469047",
        "us-isob-east-1": "281123927165",
        "us-isof-east-1": "108575199400",
        "us-isof-south-1": "124985052026",
        "us-west-1": "746614075791",
        "us-west-2": "246618743249",
    }
)

# Partitions outside the commercial one have domains of their own.
_DOMAINS = (
    ("cn-", "amazonaws.com.cn"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
)


def ecr_registry_host(account: str, region: str) -> str:
    """Return the host of an account's ECR registry: `ACCOUNT.dkr.ecr.REGION.amazonaws.com`."""
    domain = next((domain for prefix, domain in _DOMAINS if region.startswith(prefix)), "amazonaws.com")
    return f"{account}.dkr.ecr.{region}.{domain}"


def xgboost_image_uri(region: str, version: str) -> str:
    """Return the image URI of SageMaker's XGBoost `version` (`3.2-0`) in `region`.

    Raises RejectedError for unknown ones.
    """
    if version not in XGBOOST_VERSIONS:
        raise RejectedError(
            f"SageMaker's built-in XGBoost {version} is not supported",
            why=f"its models can't be served; supported are {', '.join(XGBOOST_VERSIONS)}",
            hint="change spec.training.algorithm.version",
        )
    account = XGBOOST_ACCOUNTS.get(region)
    if account is not None:
        return f"{ecr_registry_host(account, region)}/sagemaker-xgboost:{version}"
    return _from_sdk(region, version)


def _from_sdk(region: str, version: str) -> str:
    """Ask the SageMaker SDK, if it is installed, about a Region that is newer than the table."""
    try:
        from sagemaker.core import image_uris
    except ImportError:
        hint = 'install "moorage[sagemaker]", whose SDK may know the region, or train in another one'
    else:
        try:
            return str(image_uris.retrieve("xgboost", region, version=version))
        except ValueError:
            hint = "the installed SageMaker SDK doesn't know it either; a newer one may, or train in another region"
    raise RejectedError(f"no image of SageMaker's built-in XGBoost is known for region {region}", hint=hint)
