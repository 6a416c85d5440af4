"""Kedro datasets: atomically written results, models that are loaded once, and prompt files."""

from emotion_circuits.datasets.checkpoint import CheckpointDataset
from emotion_circuits.datasets.direction_files import DirectionFilesDataset
from emotion_circuits.datasets.event_log import EventLogDataset
from emotion_circuits.datasets.goemotions_table import GoEmotionsDataset
from emotion_circuits.datasets.imported_vectors import ImportedVectorsDataset
from emotion_circuits.datasets.language_model import LanguageModelDataset
from emotion_circuits.datasets.pretrained_folder import PretrainedFolderDataset
from emotion_circuits.datasets.prompt_source import PromptSourceDataset
from emotion_circuits.datasets.provenance_folder import ProvenanceDataset
from emotion_circuits.datasets.report_files import ReportFilesDataset
from emotion_circuits.datasets.results import (
    ResultCSVDataset,
    ResultJSONDataset,
    ResultJSONLinesDataset,
    ResultPickleDataset,
    ResultPlotlyDataset,
    ResultTextDataset,
)
from emotion_circuits.datasets.results_folder import ResultsFolderDataset
from emotion_circuits.datasets.text_evaluator import TextEvaluatorDataset

__all__ = [
    "CheckpointDataset",
    "DirectionFilesDataset",
    "EventLogDataset",
    "GoEmotionsDataset",
    "ImportedVectorsDataset",
    "LanguageModelDataset",
    "PretrainedFolderDataset",
    "PromptSourceDataset",
    "ProvenanceDataset",
    "ReportFilesDataset",
    "ResultCSVDataset",
    "ResultJSONDataset",
    "ResultJSONLinesDataset",
    "ResultPickleDataset",
    "ResultPlotlyDataset",
    "ResultTextDataset",
    "ResultsFolderDataset",
    "TextEvaluatorDataset",
]
